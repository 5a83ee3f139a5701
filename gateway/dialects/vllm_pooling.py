"""vLLM's `/pooling`: what a model gives for inputs, a vector each or one a token."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.dialects.embeddings_request import (
    MULTI_VECTOR,
    VOCABULARY_HEADER,
    EmbeddingsCall,
    Encoding,
    parse_embeddings_call,
)
from gateway.dialects.endpoint import Answer, Call
from gateway.dialects.fields import Fields, word
from gateway.dialects.json_rows import json_vectors, written
from gateway.dialects.vllm_bytes import ENCODING_FORMAT, bytes_answer, bytes_form, packing_of
from gateway.dialects.vllm_usage import vllm_usage
from gateway.errors import InvalidField
from gateway.types import EmbedResult, Vocabulary
from gateway.vectors.encoders import float_lists
from gateway.vectors.packing import Packing

_TASK = "task"
_EMBED, _TOKEN_EMBED = "embed", "token_embed"
# What vLLM's poolers can be set to beside these; no model here is one of them.
_OTHER_TASKS = frozenset({"classify", "token_classify", "embed&token_classify", "score", "encode", "plugin"})
_ENCODINGS = (Encoding.FLOAT, Encoding.BASE64)
_BYTES_PER_NUMBER = 12


async def pool(call: Call) -> Answer:
    """The answer of `POST /pooling`, in JSON or in bytes."""
    fields = _embeddings_fields(call.fields)
    form = bytes_form(fields)
    asked = parse_embeddings_call(
        fields if form is None else {**fields, ENCODING_FORMAT: None},
        vocabulary_header=call.header(VOCABULARY_HEADER) or Vocabulary.MODEL.value,
        limits=call.limits.inputs,
        deadline=call.deadline,
        caller=call.caller,
    )
    _check_encoding(asked)
    if form is not None:
        form.check_count(len(asked.request.inputs))
    packing = packing_of(fields) or Packing()
    result = await call.wait_for(call.services.embedder.embed(asked.request))
    call.note(model=result.model, inputs=len(asked.request.inputs), usage=result.usage, stages=result.stages)
    answer_id = f"pooling-{call.request_id}"
    if form is not None:
        return await bytes_answer(result, form, answer_id=answer_id)
    in_base64 = asked.encodings == (Encoding.BASE64,)
    body = await written(
        lambda: _encoded(result, packing if in_base64 else None, answer_id=answer_id),
        expected_bytes=_BYTES_PER_NUMBER * _numbers(result),
    )
    return Answer(body, warnings=result.warnings)


def _embeddings_fields(fields: Mapping[str, Any]) -> Fields:
    """The fields as the embeddings request has them: `task` may be vLLM's, which says what comes out, or the model's
    own, which says what it is for. Raises `InvalidField`."""
    task = (word(fields, _TASK) or "").lower()
    if task in _OTHER_TASKS:
        raise InvalidField(
            f"'{_TASK}' has to be {_EMBED} or {_TOKEN_EMBED}, or one of the model's own tasks: the models here give "
            "vectors. `POST /score` gives scores.",
            param=_TASK,
        )
    if task == _TOKEN_EMBED:
        return {**fields, _TASK: None, MULTI_VECTOR: True}
    return {**fields, _TASK: None} if task == _EMBED else fields


def _check_encoding(call: EmbeddingsCall) -> None:
    if len(call.encodings) != 1 or call.encodings[0] not in _ENCODINGS:
        raise InvalidField(
            f"'{ENCODING_FORMAT}' has to be float, base64, bytes or bytes_only here.", param=ENCODING_FORMAT
        )


def _numbers(result: EmbedResult) -> int:
    return result.vectors.size + sum(vectors.size for vectors in result.token_vectors or ())


def _encoded(result: EmbedResult, packing: Packing | None, *, answer_id: str) -> bytes:
    about = orjson.dumps(
        {
            "id": answer_id,
            "object": "list",
            "created": int(time.time()),
            "model": result.model,
            "usage": vllm_usage(result.usage),
        }
    )
    items = [
        b'{"index":%d,"object":"pooling","data":%b}' % (index, data)
        for index, data in enumerate(_data(result, packing))
    ]
    return b'%b,"data":[%b]}' % (about[:-1], b",".join(items))


def _data(result: EmbedResult, packing: Packing | None) -> Iterator[bytes]:
    """JSON for each input: its vector, or a list of its tokens' vectors; in base64 all its numbers as one string."""
    if result.token_vectors is None:
        if packing is None:
            yield from map(bytes, float_lists(result.vectors))
        else:
            yield from (orjson.dumps(text) for text in packing.strings(result.vectors))
        return
    for vectors in result.token_vectors:
        if packing is None:
            yield json_vectors(vectors)
        else:
            [text] = packing.strings(vectors.reshape(1, -1))
            yield orjson.dumps(text)
