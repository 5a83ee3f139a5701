"""Writes the answer of `/v1/embeddings` straight into bytes: no response model, each row written once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

import orjson

from gateway.dialects.embeddings_request import Encoding
from gateway.dialects.items_in_place import Body, many_base64_items, many_float_items
from gateway.dialects.json_rows import INLINE_BYTES, json_list_of_small, json_list_pieces
from gateway.types import EmbedResult, Float32Array, Usage
from gateway.vectors.encoders import (
    are_many,
    base64_rows,
    base64_strings,
    binary_rows,
    float_lists,
    float_rows,
    ubinary_rows,
)
from gateway.vectors.packing import Packing

# Of 128 numbers each: about 50 KB and half a millisecond.
_TOKENS_AT_ONCE = 32
# Of fewer values in base64 the parts are put together as fast.
_MANY_VALUES = 16 * 1024
_START = b'{"object":"list","data":'
_BYTES_PER_NUMBER = {Encoding.FLOAT: 16, Encoding.BASE64: 6, Encoding.BINARY: 1, Encoding.UBINARY: 1}

RowsOf = Mapping[Encoding, Callable[[Float32Array], Sequence[Any]]]
"""How float32 [rows, size] is written in each encoding: a value a row."""

_ROWS_OF: RowsOf = {
    Encoding.FLOAT: float_rows,
    Encoding.BASE64: base64_rows,
    Encoding.BINARY: binary_rows,
    Encoding.UBINARY: ubinary_rows,
}


TextsOf = Mapping[Encoding, Callable[[Float32Array], Iterable[Body]]]
"""As `RowsOf`, each value as its JSON text."""

_TEXTS_OF: TextsOf = {
    Encoding.FLOAT: float_lists,
    Encoding.BASE64: base64_strings,
    Encoding.BINARY: lambda vectors: map(_list_text, binary_rows(vectors)),
    Encoding.UBINARY: lambda vectors: map(_list_text, ubinary_rows(vectors)),
}


def _list_text(row: Any) -> bytes:
    return orjson.dumps(row, None, orjson.OPT_SERIALIZE_NUMPY)


async def encode_answer(result: EmbedResult, encodings: Sequence[Encoding], *, packing: Packing | None = None) -> Body:
    """The JSON body for `result`. Large ones are made row by row in a thread, so that the event loop has its turns.
    `packing` is what is in base64, None for little-endian float32."""
    numbers = result.vectors.size
    if result.token_vectors is not None:
        numbers += sum([vectors.size for vectors in result.token_vectors])
    expected_bytes = numbers * sum([_BYTES_PER_NUMBER[encoding] for encoding in encodings])
    if expected_bytes <= INLINE_BYTES:
        return encode_answer_now(result, encodings, packing=packing)
    return await asyncio.to_thread(encode_answer_now, result, encodings, packing=packing)


def encode_answer_now(result: EmbedResult, encodings: Sequence[Encoding], *, packing: Packing | None = None) -> Body:
    """As `encode_answer`, in one go. With several encodings a vector is an object keyed by their names, in order."""
    only = encodings[0] if len(encodings) == 1 else None
    end = b',"model":%b,"usage":%b}' % (orjson.dumps(result.model), _usage(result.usage))
    if result.token_vectors is not None:
        pieces = _multi_vector_pieces(result, result.token_vectors, encodings, rows_of=_rows_of(packing))
    elif only is Encoding.FLOAT and are_many(result.vectors):
        return many_float_items(result.vectors, start=_START, end=end)
    elif only is Encoding.BASE64 and packing is None and result.vectors.size >= _MANY_VALUES:
        return many_base64_items(result.vectors, start=_START, end=end)
    else:
        pieces = _items(_texts(result.vectors, encodings, texts_of=_texts_of(packing)))
    # Tens of megabytes are usual: the pieces are put together once, as every step in between would be a copy.
    answer = BytesIO()
    answer.write(_START)
    answer.writelines(pieces)
    answer.write(end)
    return answer.getvalue()


def _items(texts: Iterable[Body]) -> Iterator[Body]:
    """The list of items, of each one's JSON text."""
    opening = b"["
    for index, text in enumerate(texts):
        yield b'%b{"object":"embedding","index":%d,"embedding":' % (opening, index)
        yield text
        opening = b"},"
    yield b"}]" if opening == b"}," else b"[]"


def _texts_of(packing: Packing | None) -> TextsOf:
    if packing is None:
        return _TEXTS_OF
    return {**_TEXTS_OF, Encoding.BASE64: lambda vectors: (b'"%b"' % one.encode() for one in packing.strings(vectors))}


def _rows_of(packing: Packing | None) -> RowsOf:
    return _ROWS_OF if packing is None else {**_ROWS_OF, Encoding.BASE64: packing.strings}


def _texts(vectors: Float32Array, encodings: Sequence[Encoding], *, texts_of: TextsOf) -> Iterable[Body]:
    """JSON for each row of `vectors`, float32 [rows, size]; with several encodings an object keyed by their names."""
    if len(encodings) == 1:
        return texts_of[encodings[0]](vectors)
    names = [b'%b"%b":' % (b"," if number else b"{", one.value.encode()) for number, one in enumerate(encodings)]
    columns = [texts_of[encoding](vectors) for encoding in encodings]
    rows = zip(*columns, strict=True)
    return (b"%b}" % b"".join([part for pair in zip(names, row, strict=True) for part in pair]) for row in rows)


def _usage(usage: Usage) -> bytes:
    images = b',"image_tokens":%d' % usage.image_tokens if usage.image_tokens else b""
    return b'{"prompt_tokens":%d,"total_tokens":%d%b}' % (usage.prompt_tokens, usage.total_tokens, images)


def _multi_vector_pieces(
    result: EmbedResult, token_vectors: Sequence[Float32Array], encodings: Sequence[Encoding], *, rows_of: RowsOf
) -> Iterator[Body]:
    """The list of items: for each input its tokens' vectors, and its tokens where they were asked for."""
    yield b"["
    for index, vectors in enumerate(token_vectors):
        yield b'%b{"object":"embeddings","index":%d,"embeddings":' % (b"," if index else b"", index)
        yield from _vector_pieces(vectors, encodings, rows_of=rows_of)
        if result.tokens is not None:
            yield b',"tokenized_input":%b' % json_list_of_small(result.tokens[index])
        yield b"}"
    yield b"]"


def _vector_pieces(vectors: Float32Array, encodings: Sequence[Encoding], *, rows_of: RowsOf) -> Iterator[Body]:
    """A list with an entry a token; of several encodings an object of such lists."""
    if len(encodings) == 1:
        yield from _token_pieces(vectors, encodings[0], rows_of=rows_of)
        return
    for number, encoding in enumerate(encodings):
        yield b'%b"%b":' % (b"," if number else b"{", encoding.value.encode())
        yield from _token_pieces(vectors, encoding, rows_of=rows_of)
    yield b"}"


def _token_pieces(vectors: Float32Array, encoding: Encoding, *, rows_of: RowsOf) -> Iterator[Body]:
    if encoding is not Encoding.FLOAT or not are_many(vectors):
        yield from json_list_pieces(rows_of[encoding](vectors), rows_at_once=_TOKENS_AT_ONCE)
        return
    for number, text in enumerate(float_lists(vectors)):
        yield b"," if number else b"["
        yield text
    yield b"]"


def encoded_rows(vectors: Float32Array, encodings: Sequence[Encoding], *, rows_of: RowsOf) -> Iterable[Any]:
    """A value for each row of `vectors`, float32 [rows, size]; with several encodings an object keyed by their names,
    in order."""
    if len(encodings) == 1:
        return rows_of[encodings[0]](vectors)
    columns = [rows_of[encoding](vectors) for encoding in encodings]
    names = [encoding.value for encoding in encodings]
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
