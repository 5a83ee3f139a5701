"""Reads texts, images and token ids out of a JSON body, in all the forms that clients of several APIs send them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.dialects.fields import kind_of
from gateway.dialects.input_objects import UNSUPPORTED, is_media, read_object
from gateway.errors import InvalidField, TooManyInputs
from gateway.types import ImageInput, Input, TextInput, TokenInput, Vocabulary

_LARGEST_TOKEN_ID = 2**31 - 1

_ITEM_FORMS = 'a string, an object {"text": ...} or {"image": ...}, or a list of these'
_LIST_FORMS = 'a list of strings or {"text": ...} objects'
_INPUT_FORMS = f"{_ITEM_FORMS}, or a list of token ids, or a list of lists of token ids"

_NUMBERS = (int, float, bool)

_TEXT = "text"
# Those of them that no model reads are refused in words of their own.
_MODALITIES = ("image", "audio", "video")


@dataclass(frozen=True, slots=True)
class InputLimits:
    """`max_image_bytes` bounds the file of an image that comes with the request."""

    max_inputs: int
    max_image_bytes: int


def read_inputs(value: Any, *, name: str, vocabulary: Vocabulary | None, limits: InputLimits) -> tuple[Input, ...]:
    """One input or several, as text, image or token ids; a flat list of integers is one input. A string is a text,
    whatever it looks like.

    `name` is what the field was called. Raises `InvalidField`, `InvalidImage`, `TooManyInputs`.
    """
    if isinstance(value, str):
        return (TextInput(value),)
    if isinstance(value, dict):
        return read_items(value, name=name, limits=limits)
    items = _items(value, name=name, forms=_INPUT_FORMS)
    if type(items[0]) in _NUMBERS:
        return (TokenInput(_token_ids(items, where=f"'{name}'", param=name), vocabulary),)
    _check_count(items, name=name, max_inputs=limits.max_inputs)
    kinds = set(map(type, items))
    if kinds <= {str, dict}:
        return read_items(items, name=name, limits=limits)
    if kinds == {list}:
        return tuple(
            TokenInput(_token_ids(item, where=f"'{name}[{index}]'", param=name), vocabulary)
            for index, item in enumerate(items)
        )
    if len(kinds) > 1:
        raise InvalidField(f"'{name}' mixes kinds of items. Give {_INPUT_FORMS}.", param=name)
    raise InvalidField(f"'{name}' has to be {_INPUT_FORMS}, not a list holding {kind_of(items[0])}.", param=name)


def strings_in_modality(value: Any, modality: str | None) -> Any:
    """Inputs whose strings are what Infinity's `modality` says, None for texts: as objects that say it themselves. Read
    as texts, the addresses of images would get vectors of their own. Raises `InvalidField` for an unknown one."""
    kind = (modality or _TEXT).lower()
    if kind == _TEXT:
        return value
    if kind not in _MODALITIES:
        raise InvalidField("'modality' has to be text or image.", param="modality")
    if isinstance(value, list):
        return [{kind: item} if isinstance(item, str) else item for item in value]
    return {kind: value} if isinstance(value, str) else value


def read_items(value: Any, *, name: str, limits: InputLimits) -> tuple[TextInput | ImageInput, ...]:
    """As `read_inputs`, without token ids."""
    if isinstance(value, str | dict):
        return (_item(value, where=f"'{name}'", param=name, limits=limits),)
    items = _items(value, name=name, forms=_ITEM_FORMS)
    _check_count(items, name=name, max_inputs=limits.max_inputs)
    if set(map(type, items)) == {str}:
        return tuple(map(TextInput, items))
    return tuple(_item(item, where=f"'{name}[{index}]'", param=name, limits=limits) for index, item in enumerate(items))


def _item(value: Any, *, where: str, param: str, limits: InputLimits) -> TextInput | ImageInput:
    if isinstance(value, str):
        return TextInput(value)
    if isinstance(value, dict):
        return read_object(value, where=where, param=param, max_image_bytes=limits.max_image_bytes)
    raise InvalidField(
        f'{where} has to be a string or an object {{"text": ...}} or {{"image": ...}}, not {kind_of(value)}.',
        param=param,
    )


def read_text_list(value: Any, *, name: str, max_inputs: int) -> tuple[str, ...]:
    """Texts alone, in a list. Raises `InvalidField`, `TooManyInputs`."""
    items = _items(value, name=name, forms=_LIST_FORMS)
    _check_count(items, name=name, max_inputs=max_inputs)
    return texts_of(items, name=name)


def texts_of(items: Sequence[Any], *, name: str) -> tuple[str, ...]:
    """The texts of a list of strings and `{"text": ...}` objects. Raises `InvalidField` naming the item."""
    return tuple(
        item if type(item) is str else text_of(item, where=f"'{name}[{index}]'", param=name)
        for index, item in enumerate(items)
    )


def text_of(item: Any, *, where: str, param: str) -> str:
    """The text of a string or a `{"text": ...}` object; `where` says whose it is. Raises `InvalidField`."""
    if isinstance(item, str):
        return item
    if not isinstance(item, dict):
        raise InvalidField(
            f'{where} has to be a string or an object {{"text": ...}}, not {kind_of(item)}.', param=param
        )
    if is_media(item):
        raise InvalidField(
            f'{where} is no text, and what is asked for here reads text only. Send {{"text": ...}}.',
            param=param,
            code=UNSUPPORTED,
        )
    text = item.get("text")
    if not isinstance(text, str):
        raise InvalidField(f"{where} is an object, so it needs a string field 'text'.", param=param)
    return text


def _items(value: Any, *, name: str, forms: str) -> list[Any]:
    if value is None:
        raise InvalidField(f"'{name}' is missing. Give {forms}.", param=name)
    if not isinstance(value, list):
        raise InvalidField(f"'{name}' has to be {forms}, not {kind_of(value)}.", param=name)
    if not value:
        raise InvalidField(f"'{name}' is an empty list. Give at least one item.", param=name)
    return value


def _check_count(items: list[Any], *, name: str, max_inputs: int) -> None:
    if len(items) > max_inputs:
        raise TooManyInputs(
            f"'{name}' has {len(items)} items and the limit is {max_inputs}. Send them in several requests.",
            param=name,
        )


def _token_ids(items: list[Any], *, where: str, param: str) -> tuple[int, ...]:
    if not items:
        raise InvalidField(f"{where} is an empty list of token ids. Give at least one id.", param=param)
    if set(map(type, items)) != {int}:
        index, wrong = next((index, item) for index, item in enumerate(items) if type(item) is not int)
        raise InvalidField(
            f"{where} is a list of token ids, so item {index} has to be an integer, not {kind_of(wrong)}.", param=param
        )
    if min(items) < 0:
        raise InvalidField(f"{where} holds a negative token id. Token ids start at 0.", param=param)
    if max(items) > _LARGEST_TOKEN_ID:
        raise InvalidField(f"{where} holds a token id that is beyond every vocabulary.", param=param)
    return tuple(items)
