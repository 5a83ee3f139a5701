"""Writes the answer of `/v1/embeddings` straight into bytes: no response model, one row at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from gateway.dialects.embeddings_request import Encoding
from gateway.dialects.json_rows import INLINE_BYTES, json_list, json_list_of_small, json_list_pieces
from gateway.types import EmbedResult, Float32Array, Usage
from gateway.vectors.encoders import base64_rows, binary_rows, float_rows, ubinary_rows

# Of 128 numbers each: about 50 KB and half a millisecond.
_TOKENS_AT_ONCE = 32
_START = b'{"object":"list","data":'
_BYTES_PER_NUMBER = {Encoding.FLOAT: 12, Encoding.BASE64: 6, Encoding.BINARY: 1, Encoding.UBINARY: 1}

RowsOf = Mapping[Encoding, Callable[[Float32Array], Sequence[Any]]]
"""How float32 [rows, size] is written in each encoding: a value a row."""

_ROWS_OF: RowsOf = {
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
    end = b',"model":%b,"usage":%b}' % (orjson.dumps(result.model), _usage(result.usage))
    if result.token_vectors is not None:
        # Tens of megabytes are usual: the pieces are put together once, as every step in between would be a copy.
        return b"".join([_START, *_multi_vector_pieces(result, result.token_vectors, encodings), end])
    rows = enumerate(encoded_rows(result.vectors, encodings, rows_of=_ROWS_OF))
    items = json_list({"object": "embedding", "index": index, "embedding": row} for index, row in rows)
    return b"%b%b%b" % (_START, items, end)


def _usage(usage: Usage) -> bytes:
    images = b',"image_tokens":%d' % usage.image_tokens if usage.image_tokens else b""
    return b'{"prompt_tokens":%d,"total_tokens":%d%b}' % (usage.prompt_tokens, usage.total_tokens, images)


def _multi_vector_pieces(
    result: EmbedResult, token_vectors: Sequence[Float32Array], encodings: Sequence[Encoding]
) -> Iterator[bytes]:
    """The list of items: for each input its tokens' vectors, and its tokens where they were asked for."""
    yield b"["
    for index, vectors in enumerate(token_vectors):
        yield b'%b{"object":"embeddings","index":%d,"embeddings":' % (b"," if index else b"", index)
        yield from _vector_pieces(vectors, encodings)
        if result.tokens is not None:
            yield b',"tokenized_input":%b' % json_list_of_small(result.tokens[index])
        yield b"}"
    yield b"]"


def _vector_pieces(vectors: Float32Array, encodings: Sequence[Encoding]) -> Iterator[bytes]:
    """A list with an entry a token; of several encodings an object of such lists."""
    if len(encodings) == 1:
        yield from json_list_pieces(_ROWS_OF[encodings[0]](vectors), rows_at_once=_TOKENS_AT_ONCE)
        return
    for number, encoding in enumerate(encodings):
        yield b'%b"%b":' % (b"," if number else b"{", encoding.value.encode())
        yield from json_list_pieces(_ROWS_OF[encoding](vectors), rows_at_once=_TOKENS_AT_ONCE)
    yield b"}"


def encoded_rows(vectors: Float32Array, encodings: Sequence[Encoding], *, rows_of: RowsOf) -> Iterable[Any]:
    """A value for each row of `vectors`, float32 [rows, size]; with several encodings an object keyed by their names,
    in order."""
    if len(encodings) == 1:
        return rows_of[encodings[0]](vectors)
    columns = [rows_of[encoding](vectors) for encoding in encodings]
    names = [encoding.value for encoding in encodings]
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
