"""Voyage's multimodal embeddings, under the path that Jina's own server has for them too. Its other calls share paths
of OpenAI's and Jina's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson
from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.dialects.endpoint import Answer, Call, EndpointLimits, JsonEndpoint
from gateway.dialects.envelope import envelope_response
from gateway.dialects.error_schema import POST_ERRORS, error_responses
from gateway.dialects.faults import Fault
from gateway.dialects.fields import Fields, flag, given, kind_of, model_name, whole_number, word
from gateway.dialects.input_objects import UNSUPPORTED, read_object
from gateway.dialects.inputs import InputLimits
from gateway.dialects.json_rows import written
from gateway.dialects.routing import serve
from gateway.dialects.voyage_schema import VoyageRequest, VoyageResponse
from gateway.errors import InvalidField, TooManyInputs
from gateway.types import EmbedRequest, EmbedResult, Float32Array, ImageInput, Overflow, TextInput
from gateway.vectors.encoders import base64_strings, float_lists

# The one place of this path's names: Voyage's, and those of misconfigured base URLs.
PATHS = ("/v1/multimodalembeddings", "/multimodalembeddings", "/v1/v1/multimodalembeddings")

Item = TextInput | ImageInput
Texts = Callable[[Float32Array], Iterable[bytes | memoryview]]

_FORM = 'an object {"content": [{"type": "text", "text": ...}]}, or one of an image'
_BYTES_PER_NUMBER = 16
# Voyage's name, and OpenAI's, which Voyage's own client sends without being asked.
_ENCODING_NAMES = ("output_encoding", "encoding_format")
_TEXTS_OF: Mapping[str, Texts] = {"float": float_lists, "base64": base64_strings}


class Voyage:
    """What clients of api.voyageai.com call that is no other API's path."""

    name = "voyage"
    source = "https://docs.voyageai.com/reference/multimodal-embeddings-api"
    path_prefixes: Sequence[str] = ()

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits

    def routes(self) -> list[BaseRoute]:
        return serve(
            PATHS,
            JsonEndpoint("multimodal_embeddings", _embed, limits=self._limits),
            method="POST",
            describe=embed_multimodal,
            responses=error_responses(*POST_ERRORS),
            tags=["Voyage"],
        )

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:
        """Voyage's `detail` is one of the keys of the shared object."""
        return envelope_response(fault, request_id=request_id)


async def _embed(call: Call) -> Answer:
    texts_of = _encoding(call.fields)
    items = _items(call.fields, limits=call.limits.inputs)
    request = EmbedRequest(
        inputs=items,
        deadline=call.deadline,
        model=model_name(call.fields),
        dimensions=whole_number(
            call.fields, "output_dimension", "dimensions", minimum=1, otherwise="Leave it out for the model's own size."
        ),
        overflow=_overflow(call.fields),
        side=word(call.fields, "input_type"),
        texts_only=all(isinstance(item, TextInput) for item in items),
        caller=call.caller,
    )
    result = await call.wait_for(call.services.embedder.embed(request))
    call.note(model=result.model, inputs=len(items), usage=result.usage, stages=result.stages)
    body = await written(lambda: _encoded(result, texts_of), expected_bytes=_BYTES_PER_NUMBER * result.vectors.size)
    return Answer(body, warnings=result.warnings)


def _overflow(fields: Fields) -> Overflow:
    return Overflow.TRUNCATE if flag(fields, "truncation", "truncate", default=True) else Overflow.REFUSE


def _encoding(fields: Fields) -> Texts:
    name, value = given(fields, *_ENCODING_NAMES, but_not="")
    texts_of = _TEXTS_OF.get(value.lower() if isinstance(value, str) else "float" if value is None else "")
    if texts_of is None:
        raise InvalidField(f"'{name}' has to be 'base64', or left out for lists of numbers.", param=name)
    return texts_of


def _items(fields: Fields, *, limits: InputLimits) -> tuple[Item, ...]:
    name, value = given(fields, "inputs", "input")
    if not isinstance(value, list) or not value:
        problem = "is missing" if value is None else "is an empty list" if value == [] else f"is {kind_of(value)}"
        raise InvalidField(f"'{name}' {problem}. Give a list of inputs, each {_FORM}.", param=name)
    if len(value) > limits.max_inputs:
        raise TooManyInputs(
            f"'{name}' has {len(value)} items and the limit is {limits.max_inputs}. Send them in several requests.",
            param=name,
        )
    return tuple(_item(item, where=f"'{name}[{index}]'", param=name, limits=limits) for index, item in enumerate(value))


def _item(item: Any, *, where: str, param: str, limits: InputLimits) -> Item:
    """An input with its content in parts, of which there may be one; a bare text or part is one as well."""
    content = item.get("content", [item]) if isinstance(item, dict) else [item]
    parts = content if isinstance(content, list) else [content]
    if not parts or not all(isinstance(part, str | dict) for part in parts):
        raise InvalidField(f"{where} has to be {_FORM}.", param=param)
    if len(parts) > 1:
        raise InvalidField(
            f"{where} has {len(parts)} parts. The models here give each text and each image a vector of its own: send "
            "each part as an input.",
            param=param,
            code=UNSUPPORTED,
        )
    [part] = parts
    if isinstance(part, str):
        return TextInput(part)
    return read_object(part, where=where, param=param, max_image_bytes=limits.max_image_bytes)


def _encoded(result: EmbedResult, texts_of: Texts) -> bytes:
    """The answer. Pixels are not counted here, so they are told as none; an image's tokens are in the total."""
    rows = [
        b"".join((b'{"object":"embedding","index":%d,"embedding":' % index, text, b"}"))
        for index, text in enumerate(texts_of(result.vectors))
    ]
    usage = result.usage
    counts = b'{"text_tokens":%d,"image_pixels":0,"video_pixels":0,"total_tokens":%d}' % (
        usage.total_tokens - usage.image_tokens,
        usage.total_tokens,
    )
    return b'{"object":"list","data":[%b],"model":%b,"usage":%b}' % (
        b",".join(rows),
        orjson.dumps(result.model),
        counts,
    )


def embed_multimodal(body: VoyageRequest) -> VoyageResponse:  # type: ignore[empty-body]
    """Turn inputs, each a text or an image, into vectors: one an input, in their order."""
