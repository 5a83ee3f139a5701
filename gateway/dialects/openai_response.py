"""Writes OpenAI's embeddings answer straight into bytes: no response model, one row at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import orjson

from gateway.dialects.openai_request import Encoding
from gateway.types import EmbedResult, Float32Array
from gateway.vectors.encoders import base64_rows, float_rows

# Encoding about this much takes a few milliseconds; more would hold up every other request on the event loop.
_INLINE_BYTES = 1024 * 1024
_BYTES_PER_NUMBER = {Encoding.FLOAT: 12, Encoding.BASE64: 6}

_ROWS_OF: dict[Encoding, Callable[[Float32Array], Sequence[Float32Array | str]]] = {
    Encoding.FLOAT: float_rows,
    Encoding.BASE64: base64_rows,
}


async def encode_answer(result: EmbedResult, encoding: Encoding) -> bytes:
    """The JSON body for `result`. Large ones are made row by row in a thread, so that the event loop has its turns."""
    if result.vectors.size * _BYTES_PER_NUMBER[encoding] <= _INLINE_BYTES:
        return encode_answer_now(result, encoding)
    return await asyncio.to_thread(encode_answer_now, result, encoding)


def encode_answer_now(result: EmbedResult, encoding: Encoding) -> bytes:
    """As `encode_answer`, in one go."""
    items = [
        orjson.dumps({"object": "embedding", "index": index, "embedding": row}, option=orjson.OPT_SERIALIZE_NUMPY)
        for index, row in enumerate(_ROWS_OF[encoding](result.vectors))
    ]
    return b'{"object":"list","data":[%b],"model":%b,"usage":{"prompt_tokens":%d,"total_tokens":%d}}' % (
        b",".join(items),
        orjson.dumps(result.model),
        result.usage.prompt_tokens,
        result.usage.total_tokens,
    )
