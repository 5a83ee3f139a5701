"""Writes the answer of `/v1/embeddings` straight into bytes: no response model, one row at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import orjson

from gateway.dialects.embeddings_request import Encoding
from gateway.dialects.json_rows import INLINE_BYTES, json_list, json_list_of_small
from gateway.types import EmbedResult, Float32Array, Usage
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
    numbers = result.vectors.size + sum([vectors.size for vectors in result.token_vectors or ()])
    expected_bytes = numbers * sum([_BYTES_PER_NUMBER[encoding] for encoding in encodings])
    if expected_bytes <= INLINE_BYTES:
        return encode_answer_now(result, encodings)
    return await asyncio.to_thread(encode_answer_now, result, encodings)


def encode_answer_now(result: EmbedResult, encodings: Sequence[Encoding]) -> bytes:
    """As `encode_answer`, in one go. With several encodings a vector is an object keyed by their names, in order."""
    if result.token_vectors is None:
        rows = enumerate(_embeddings(result.vectors, encodings))
        items = json_list({"object": "embedding", "index": index, "embedding": row} for index, row in rows)
    else:
        items = b"[%b]" % b",".join(_multi_vector_items(result, result.token_vectors, encodings))
    return b'{"object":"list","data":%b,"model":%b,"usage":%b}' % (
        items,
        orjson.dumps(result.model),
        _usage(result.usage),
    )


def _usage(usage: Usage) -> bytes:
    images = b',"image_tokens":%d' % usage.image_tokens if usage.image_tokens else b""
    return b'{"prompt_tokens":%d,"total_tokens":%d%b}' % (usage.prompt_tokens, usage.total_tokens, images)


def _multi_vector_items(
    result: EmbedResult, token_vectors: Sequence[Float32Array], encodings: Sequence[Encoding]
) -> Iterator[bytes]:
    """An item for each input: the list of its tokens' vectors, and the list of its tokens where they were asked for."""
    for index, vectors in enumerate(token_vectors):
        tokens = b',"tokenized_input":%b' % json_list_of_small(result.tokens[index]) if result.tokens else b""
        lists = [json_list(_ROWS_OF[encoding](vectors)) for encoding in encodings]
        if len(lists) > 1:
            named = zip(encodings, lists, strict=True)
            lists = [b"{%b}" % b",".join([b'"%b":%b' % (encoding.value.encode(), each) for encoding, each in named])]
        yield b'{"object":"embeddings","index":%d,"embeddings":%b%b}' % (index, lists[0], tokens)


def _embeddings(vectors: Float32Array, encodings: Sequence[Encoding]) -> Iterable[Any]:
    if len(encodings) == 1:
        return _ROWS_OF[encodings[0]](vectors)
    columns = [_ROWS_OF[encoding](vectors) for encoding in encodings]
    names = [encoding.value for encoding in encodings]
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
