"""Writes the answer of `/v1/embeddings` straight into bytes: no response model, one row at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

from gateway.dialects.embeddings_request import Encoding
from gateway.dialects.json_rows import INLINE_BYTES, json_list
from gateway.types import EmbedResult, Float32Array
from gateway.vectors.encoders import base64_rows, binary_rows, float_rows, ubinary_rows

_BYTES_PER_NUMBER = {Encoding.FLOAT: 12, Encoding.BASE64: 6, Encoding.BINARY: 1, Encoding.UBINARY: 1}

_ROWS_OF: dict[Encoding, Callable[[Float32Array], Sequence[Any]]] = {
    Encoding.FLOAT: float_rows,
    Encoding.BASE64: base64_rows,
    Encoding.BINARY: binary_rows,
    Encoding.UBINARY: ubinary_rows,
}


async def encode_answer(result: EmbedResult, encodings: Sequence[Encoding]) -> bytes:
    """The JSON body for `result`. Large ones are made row by row in a thread, so that the event loop has its turns."""
    expected_bytes = result.vectors.size * sum([_BYTES_PER_NUMBER[encoding] for encoding in encodings])
    if expected_bytes <= INLINE_BYTES:
        return encode_answer_now(result, encodings)
    return await asyncio.to_thread(encode_answer_now, result, encodings)


def encode_answer_now(result: EmbedResult, encodings: Sequence[Encoding]) -> bytes:
    """As `encode_answer`, in one go. With several encodings a vector is an object keyed by their names, in order."""
    rows = enumerate(_embeddings(result.vectors, encodings))
    items = json_list({"object": "embedding", "index": index, "embedding": row} for index, row in rows)
    return b'{"object":"list","data":%b,"model":%b,"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (
        items,
        orjson.dumps(result.model),
        result.usage.prompt_tokens,
        result.usage.total_tokens,
    )


def _embeddings(vectors: Float32Array, encodings: Sequence[Encoding]) -> Iterable[Any]:
    if len(encodings) == 1:
        return _ROWS_OF[encodings[0]](vectors)
    columns = [_ROWS_OF[encoding](vectors) for encoding in encodings]
    names = [encoding.value for encoding in encodings]
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
