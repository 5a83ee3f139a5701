"""Reads the conversations that vLLM's multimodal clients send in place of `input`: one input each.

The models here have no chat template. They read a text or an image, so a conversation has to come down to one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.dialects.fields import kind_of
from gateway.dialects.input_objects import UNSUPPORTED, read_object
from gateway.dialects.inputs import InputLimits
from gateway.errors import InvalidField, TooManyInputs
from gateway.types import ImageInput, TextInput

# They tell a chat model what to do with the rest, which is no part of what is embedded.
_INSTRUCTING_ROLES = ("system", "developer")


def read_messages(value: Any, *, name: str, limits: InputLimits) -> tuple[TextInput | ImageInput, ...]:
    """The input of a conversation, or of each of several. Raises `InvalidField`, `InvalidImage`, `TooManyInputs`."""
    if not isinstance(value, list) or not value:
        raise InvalidField(
            f"'{name}' has to be a list of messages, or a list of such lists, and hold one at least.", param=name
        )
    if not isinstance(value[0], list):
        return (_of_conversation(value, where=f"'{name}'", param=name, limits=limits),)
    if len(value) > limits.max_inputs:
        raise TooManyInputs(
            f"'{name}' has {len(value)} items and the limit is {limits.max_inputs}. Send them in several requests.",
            param=name,
        )
    return tuple(
        _of_conversation(one, where=f"'{name}[{index}]'", param=name, limits=limits) for index, one in enumerate(value)
    )


def only_part(parts: Any, *, where: str, param: str, limits: InputLimits) -> TextInput | ImageInput | None:
    """The one text or image among the parts of a message's `content`, None where all of them are empty texts. Raises
    `InvalidField`, also for more than one."""
    found = list(_parts(parts, where=where, param=param, limits=limits))
    if len(found) > 1:
        raise _several(where, param)
    return found[0] if found else None


def _of_conversation(value: Any, *, where: str, param: str, limits: InputLimits) -> TextInput | ImageInput:
    if not isinstance(value, list) or not all(isinstance(message, dict) for message in value):
        raise InvalidField(
            f'{where} has to be a list of messages, each an object {{"role": ..., "content": ...}}.', param=param
        )
    contents = [message.get("content") for message in value if message.get("role") not in _INSTRUCTING_ROLES]
    found = [part for content in contents for part in _parts(content, where=where, param=param, limits=limits)]
    if len(found) > 1:
        raise _several(where, param)
    if not found:
        raise InvalidField(f"{where} holds neither a text nor an image that could be embedded.", param=param)
    return found[0]


def _parts(content: Any, *, where: str, param: str, limits: InputLimits) -> Iterator[TextInput | ImageInput]:
    """What is not empty of a message's content: a text, or a list of parts."""
    if content is None or content == "":
        return
    if isinstance(content, str):
        yield TextInput(content)
        return
    if not isinstance(content, list):
        raise InvalidField(
            f"The content of {where} has to be a string or a list of parts, not {kind_of(content)}.", param=param
        )
    for part in content:
        if isinstance(part, str):
            read: TextInput | ImageInput = TextInput(part)
        elif isinstance(part, Mapping):
            read = read_object(part, where=where, param=param, max_image_bytes=limits.max_image_bytes)
        else:
            raise InvalidField(f"A part of {where} has to be an object, not {kind_of(part)}.", param=param)
        if read != TextInput(""):
            yield read


def _several(where: str, param: str) -> InvalidField:
    return InvalidField(
        f"{where} has several parts, and the models here give each text and each image a vector of its own: send each "
        "in a conversation of its own, or as an item of 'input'.",
        param=param,
        code=UNSUPPORTED,
    )
