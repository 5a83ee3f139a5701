"""Checks an OpenAI embeddings request by hand, field by field, and says in one sentence what is wrong with it.

Each message names the field and the way out and never repeats what was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from gateway.errors import InvalidField, TooManyInputs
from gateway.types import EmbedRequest, Input, Overflow, TextInput, TokenInput, Vocabulary

VOCABULARY_HEADER = b"x-token-vocabulary"

_LARGEST_TOKEN_ID = 2**31 - 1

_INPUT_FORMS = "a string, a list of strings, a list of token ids, or a list of lists of token ids"


class Encoding(Enum):
    """How vectors travel in the answer: a JSON list of numbers, or base64 of little-endian float32."""

    FLOAT = "float"
    BASE64 = "base64"


@dataclass(frozen=True, slots=True)
class EmbeddingsCall:
    request: EmbedRequest
    encoding: Encoding


def parse_embeddings_call(
    fields: dict[str, Any], *, vocabulary_header: str | None, max_inputs: int, deadline: float
) -> EmbeddingsCall:
    """Translate the body's fields; unknown ones are ignored and null means not given.

    `deadline` is a reading of `time.monotonic()`, in seconds. Raises `InvalidField`, `TooManyInputs`.
    """
    vocabulary = _vocabulary(fields.get("token_vocabulary"), vocabulary_header)
    request = EmbedRequest(
        inputs=_inputs(fields.get("input"), vocabulary=vocabulary, max_inputs=max_inputs),
        deadline=deadline,
        model=_model(fields.get("model")),
        dimensions=_dimensions(fields.get("dimensions")),
        overflow=_overflow(fields),
    )
    return EmbeddingsCall(request=request, encoding=_encoding(fields.get("encoding_format")))


def _inputs(value: Any, *, vocabulary: Vocabulary | None, max_inputs: int) -> tuple[Input, ...]:
    if isinstance(value, str):
        return (TextInput(value),)
    if value is None:
        raise _bad_input(f"'input' is missing. Give {_INPUT_FORMS}.")
    if not isinstance(value, list):
        raise _bad_input(f"'input' has to be {_INPUT_FORMS}, not {_kind(value)}.")
    if not value:
        raise _bad_input("'input' is an empty list. Give at least one input.")
    if type(value[0]) in (int, float, bool):
        return (TokenInput(_token_ids(value, where="'input'"), vocabulary),)
    if len(value) > max_inputs:
        raise TooManyInputs(
            f"'input' has {len(value)} items and the limit is {max_inputs}. Send them in several requests.",
            param="input",
        )
    return _many_inputs(value, vocabulary)


def _many_inputs(items: list[Any], vocabulary: Vocabulary | None) -> tuple[Input, ...]:
    kinds = set(map(type, items))
    if kinds == {str}:
        return tuple(map(TextInput, items))
    if kinds == {list}:
        return tuple(
            TokenInput(_token_ids(item, where=f"'input[{index}]'"), vocabulary) for index, item in enumerate(items)
        )
    if kinds == {dict}:
        return tuple(TextInput(_text_of(item, index)) for index, item in enumerate(items))
    if len(kinds) > 1:
        raise _bad_input(f"'input' mixes kinds of items. Give {_INPUT_FORMS}.")
    raise _bad_input(f"'input' has to be {_INPUT_FORMS}, not a list holding {_kind(items[0])}.")


def _token_ids(items: list[Any], *, where: str) -> tuple[int, ...]:
    if not items:
        raise _bad_input(f"{where} is an empty list of token ids. Give at least one id.")
    if set(map(type, items)) != {int}:
        index, wrong = next((index, item) for index, item in enumerate(items) if type(item) is not int)
        raise _bad_input(f"{where} is a list of token ids, so item {index} has to be an integer, not {_kind(wrong)}.")
    if min(items) < 0:
        raise _bad_input(f"{where} holds a negative token id. Token ids start at 0.")
    if max(items) > _LARGEST_TOKEN_ID:
        raise _bad_input(f"{where} holds a token id that is beyond every vocabulary.")
    return tuple(items)


def _text_of(item: dict[str, Any], index: int) -> str:
    text = item.get("text")
    if not isinstance(text, str):
        raise _bad_input(f"'input[{index}]' is an object, so it needs a string field 'text'.")
    return text


def _model(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return (value or "").strip() or None
    raise InvalidField(f"'model' has to be a string, not {_kind(value)}. `GET /v1/models` lists them.", param="model")


def _dimensions(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not int:
        raise InvalidField(f"'dimensions' has to be an integer, not {_kind(value)}.", param="dimensions")
    if value < 1:
        raise InvalidField(
            "'dimensions' has to be 1 or more. Leave it out for the model's own size.", param="dimensions"
        )
    return value


def _encoding(value: Any) -> Encoding:
    if value is None or value == "":
        return Encoding.FLOAT
    try:
        return Encoding(value.lower() if isinstance(value, str) else value)
    except ValueError:
        raise InvalidField(
            "Invalid value for 'encoding_format'. Supported values: ['float', 'base64'].", param="encoding_format"
        ) from None


def _overflow(fields: dict[str, Any]) -> Overflow:
    for name in ("truncate", "truncation"):
        value = fields.get(name)
        if isinstance(value, bool):
            return Overflow.TRUNCATE if value else Overflow.REFUSE
        if value is not None:
            raise InvalidField(f"'{name}' has to be true or false, not {_kind(value)}.", param=name)
    return Overflow.REFUSE


def _vocabulary(value: Any, header: str | None) -> Vocabulary | None:
    if value is None or value == "":
        value = header or None
    if value is None:
        return None
    try:
        return Vocabulary(value.strip().lower() if isinstance(value, str) else value)
    except ValueError:
        names = ", ".join(f"'{vocabulary.value}'" for vocabulary in Vocabulary)
        raise InvalidField(
            f"'token_vocabulary' (also the header `x-token-vocabulary`) has to be one of {names}.",
            param="token_vocabulary",
        ) from None


def _bad_input(message: str) -> InvalidField:
    return InvalidField(message, param="input")


def _kind(value: Any) -> str:
    """What JSON calls the type of `value`, with its article."""
    names = {str: "a string", bool: "a boolean", int: "an integer", float: "a number with a fraction", list: "a list"}
    return "null" if value is None else names.get(type(value), "an object")
