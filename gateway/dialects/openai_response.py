"""Writes OpenAI's embeddings answer straight into bytes: no intermediate lists, no response model."""

from __future__ import annotations

import asyncio
from binascii import b2a_base64
from collections.abc import Callable, Iterator

import numpy as np
import orjson

from gateway.dialects.openai_request import Encoding
from gateway.types import EmbedResult, Float32Array

# Encoding about this much takes a millisecond or so; more would hold up every other request on the event loop.
_INLINE_BYTES = 1024 * 1024
_BYTES_PER_NUMBER = {Encoding.FLOAT: 12, Encoding.BASE64: 6}


async def encode_answer(result: EmbedResult, encoding: Encoding) -> bytes:
    """The JSON body for `result`. Large ones are encoded row by row in a thread, so that the event loop gets its turns."""
    if result.vectors.size * _BYTES_PER_NUMBER[encoding] <= _INLINE_BYTES:
        return encode_answer_now(result, encoding)
    return await asyncio.to_thread(encode_answer_now, result, encoding)


def encode_answer_now(result: EmbedResult, encoding: Encoding) -> bytes:
    """As `encode_answer`, in one go. Floats are the shortest decimals that read back as the same float32."""
    encode = _ENCODERS[encoding]
    vectors = np.ascontiguousarray(result.vectors, dtype="<f4")
    return b'{"object":"list","data":[%b],"model":%b,"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (
        b",".join(_items(vectors, encode)),
        orjson.dumps(result.model),
        result.usage.prompt_tokens,
        result.usage.total_tokens,
    )


def _items(vectors: Float32Array, encode: Callable[[Float32Array], bytes]) -> Iterator[bytes]:
    for index, vector in enumerate(vectors):
        yield b'{"object":"embedding","index":%d,"embedding":%b}' % (index, encode(vector))


def _as_numbers(vector: Float32Array) -> bytes:
    return orjson.dumps(vector, option=orjson.OPT_SERIALIZE_NUMPY)


def _as_base64(vector: Float32Array) -> bytes:
    return b'"%b"' % b2a_base64(vector, newline=False)  # type: ignore[arg-type]


_ENCODERS: dict[Encoding, Callable[[Float32Array], bytes]] = {
    Encoding.FLOAT: _as_numbers,
    Encoding.BASE64: _as_base64,
}
