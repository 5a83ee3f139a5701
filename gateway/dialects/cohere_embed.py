"""Cohere's embedding calls, of its first API and its second: checks a request by hand, writes each type of vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson

from gateway.dialects.embeddings_request import TASK_NAMES
from gateway.dialects.endpoint import Answer, Call
from gateway.dialects.fields import Fields, given, kind_of, model_name, whole_number, word
from gateway.dialects.input_objects import read_object
from gateway.dialects.inputs import InputLimits, read_text_list
from gateway.dialects.json_rows import json_list, json_vectors, written
from gateway.errors import InvalidField, TooManyInputs
from gateway.types import EmbedRequest, EmbedResult, Float32Array, ImageInput, Overflow, TextInput
from gateway.vectors.encoders import base64_rows, binary_rows, int8_rows, ubinary_rows, uint8_rows

Item = TextInput | ImageInput

_SOURCES = ("texts", "images", "inputs")
_BYTES_PER_NUMBER = 12

_OVERFLOWS: Mapping[str, Overflow] = {
    "none": Overflow.REFUSE,
    "end": Overflow.TRUNCATE,
    "start": Overflow.TRUNCATE_START,
}


class EmbeddingType(Enum):
    """How vectors travel: numbers; whole numbers of a byte each; one bit a dimension; base64 of float32."""

    FLOAT = "float"
    INT8 = "int8"
    UINT8 = "uint8"
    BINARY = "binary"
    UBINARY = "ubinary"
    BASE64 = "base64"


_ROWS_OF: Mapping[EmbeddingType, Callable[[Float32Array], Sequence[Any]]] = {
    EmbeddingType.INT8: int8_rows,
    EmbeddingType.UINT8: uint8_rows,
    EmbeddingType.BINARY: binary_rows,
    EmbeddingType.UBINARY: ubinary_rows,
    EmbeddingType.BASE64: base64_rows,
}


@dataclass(frozen=True, slots=True)
class EmbedCall:
    """`types` None asks for plain lists of numbers, which only the first API has. `texts` are those that were sent, to
    be sent back."""

    request: EmbedRequest
    types: tuple[EmbeddingType, ...] | None
    texts: tuple[str, ...]
    warnings: tuple[str, ...]


async def embed_v1(call: Call) -> Answer:
    """The answer of `POST /v1/embed`: plain vectors, or vectors by type where types are named."""
    return await _embed(call, version="1", default_types=None)


async def embed_v2(call: Call) -> Answer:
    """The answer of `POST /v2/embed`: always by type."""
    return await _embed(call, version="2", default_types=(EmbeddingType.FLOAT,))


async def _embed(call: Call, *, version: str, default_types: tuple[EmbeddingType, ...] | None) -> Answer:
    asked = parse_embed_call(
        call.fields,
        limits=call.limits.inputs,
        deadline=call.deadline,
        caller=call.caller,
        default_types=default_types,
    )
    result = await call.wait_for(call.services.embedder.embed(asked.request))
    call.note(model=result.model, inputs=len(asked.request.inputs), usage=result.usage, stages=result.stages)
    body = await encode_embeddings(result, asked, request_id=call.request_id, version=version)
    return Answer(body, warnings=result.warnings)


def parse_embed_call(
    fields: Fields,
    *,
    limits: InputLimits,
    deadline: float,
    default_types: tuple[EmbeddingType, ...] | None,
    caller: str = "",
) -> EmbedCall:
    """Translate the body's fields; unknown ones are ignored and null means not given.

    `deadline` is a reading of `time.monotonic()`, in seconds. Raises `InvalidField`, `InvalidImage`, `TooManyInputs`.
    """
    items = _items(fields, limits=limits)
    request = EmbedRequest(
        inputs=items,
        deadline=deadline,
        model=model_name(fields),
        dimensions=whole_number(
            fields, "output_dimension", "dimensions", minimum=1, otherwise="Leave it out for the model's own size."
        ),
        overflow=_overflow(fields),
        task=word(fields, *TASK_NAMES),
        side=word(fields, "input_type"),
        texts_only=all(isinstance(item, TextInput) for item in items),
        caller=caller,
    )
    return EmbedCall(
        request=request,
        types=_types(fields) or default_types,
        texts=tuple(item.text for item in items if isinstance(item, TextInput)),
        warnings=_warnings(fields),
    )


def _items(fields: Fields, *, limits: InputLimits) -> tuple[Item, ...]:
    sources = [name for name in _SOURCES if fields.get(name) not in (None, [])]
    if len(sources) != 1:
        fault = "and only one of them is read" if sources else "none of them was"
        raise InvalidField(f"One of 'texts', 'images' and 'inputs' has to be given, {fault}.", param="texts")
    name, value = sources[0], fields[sources[0]]
    if name == "texts":
        return tuple(map(TextInput, read_text_list(value, name=name, max_inputs=limits.max_inputs)))
    if not isinstance(value, list):
        raise InvalidField(f"'{name}' has to be a list, not {kind_of(value)}.", param=name)
    one = _image if name == "images" else _input
    if len(value) > limits.max_inputs:
        raise TooManyInputs(
            f"'{name}' has {len(value)} items and the limit is {limits.max_inputs}. Send them in several requests.",
            param=name,
        )
    return tuple(one(item, where=f"'{name}[{index}]'", param=name, limits=limits) for index, item in enumerate(value))


def _image(item: Any, *, where: str, param: str, limits: InputLimits) -> Item:
    """A data URI, as Cohere has it, or any other form of an image."""
    given_as = {"image": item} if isinstance(item, str) else item
    if not isinstance(given_as, dict):
        raise InvalidField(f"{where} has to be a data URI of an image, not {kind_of(item)}.", param=param)
    return read_object(given_as, where=where, param=param, max_image_bytes=limits.max_image_bytes)


def _input(item: Any, *, where: str, param: str, limits: InputLimits) -> Item:
    """An object with its content in parts, of which there may be one: a text or an image."""
    content = item.get("content") if isinstance(item, dict) else None
    if isinstance(content, str):
        return TextInput(content)
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise InvalidField(
            f'{where} has to be an object {{"content": [{{"type": "text", "text": ...}}]}}, or one of an image.',
            param=param,
        )
    if len(content) != 1:
        raise InvalidField(
            f"{where} has {len(content)} parts. The models here give each text and each image a vector of its own: "
            "send each part as an input.",
            param=param,
            code="unsupported_modality",
        )
    return read_object(content[0], where=where, param=param, max_image_bytes=limits.max_image_bytes)


def _types(fields: Fields) -> tuple[EmbeddingType, ...]:
    """Each of the types asked for once, in order. Raises `InvalidField`."""
    name, value = given(fields, "embedding_types", "embedding_type")
    words = [] if value is None else value if isinstance(value, list) else [value]
    try:
        return tuple(dict.fromkeys(EmbeddingType(one.lower()) for one in words))
    except (AttributeError, ValueError):
        known = ", ".join(one.value for one in EmbeddingType)
        raise InvalidField(f"'{name}' has to be a list of some of these: {known}.", param=name) from None


def _overflow(fields: Fields) -> Overflow:
    asked = word(fields, "truncate")
    found = _OVERFLOWS.get((asked or "END").lower())
    if found is None:
        raise InvalidField("'truncate' has to be NONE, START or END.", param="truncate")
    return found


def _warnings(fields: Fields) -> tuple[str, ...]:
    if fields.get("max_tokens") is None:
        return ()
    return ("'max_tokens' is ignored: texts are cut to what the model reads, by 'truncate'.",)


async def encode_embeddings(result: EmbedResult, call: EmbedCall, *, request_id: str, version: str) -> bytes:
    """The JSON body for `result`. Large ones are made in a thread."""
    expected_bytes = _BYTES_PER_NUMBER * result.vectors.size * max(1, len(call.types or ()))
    expected_bytes += sum(map(len, call.texts))
    return await written(
        lambda: _encoded(result, call, request_id=request_id, version=version), expected_bytes=expected_bytes
    )


def _encoded(result: EmbedResult, call: EmbedCall, *, request_id: str, version: str) -> bytes:
    if call.types is None:
        kind, vectors = b"embeddings_floats", json_vectors(result.vectors)
    else:
        kind = b"embeddings_by_type"
        columns = [b'"%b":%b' % (one.value.encode(), _column(result.vectors, one)) for one in call.types]
        vectors = b"{%b}" % b",".join(columns)
    return b'{"id":%b,"embeddings":%b,"texts":%b,"meta":%b,"response_type":"%b"}' % (
        orjson.dumps(request_id),
        vectors,
        json_list(call.texts),
        orjson.dumps(meta(version, _billed(result, call), warnings=(*call.warnings, *result.warnings))),
        kind,
    )


def _column(vectors: Float32Array, kind: EmbeddingType) -> bytes:
    return json_vectors(vectors) if kind is EmbeddingType.FLOAT else json_list(_ROWS_OF[kind](vectors))


def _billed(result: EmbedResult, call: EmbedCall) -> dict[str, int]:
    """What Cohere would charge for; nobody is charged here."""
    usage, images = result.usage, len(call.request.inputs) - len(call.texts)
    billed = {"input_tokens": usage.prompt_tokens - usage.image_tokens}
    return billed | {"image_tokens": usage.image_tokens, "images": images} if images else billed


def meta(version: str, billed_units: Mapping[str, int], *, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Cohere's `meta` object."""
    body: dict[str, Any] = {"api_version": {"version": version}, "billed_units": dict(billed_units)}
    return body | {"warnings": list(warnings)} if warnings else body
