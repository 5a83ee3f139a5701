"""Writes the output of an embeddings job: the HTTP API's answer, with packed bits as base64 strings."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson

from gateway.dialects.embeddings_request import Encoding
from gateway.dialects.embeddings_response import RowsOf, encoded_rows
from gateway.dialects.runpod_output_size import OutputBudget
from gateway.types import EmbedResult, Float32Array, Usage
from gateway.vectors.encoders import base64_rows, float_rows


def packed_rows(vectors: Float32Array) -> list[str]:
    """Each row of float32 [rows, size] as base64 of one bit a value, the first one highest: 1 where it is above zero.

    The same for `binary` and `ubinary`: in bytes, unlike in the HTTP API's numbers, there is no sign to tell apart.
    """
    return [b2a_base64(row.tobytes(), newline=False).decode("ascii") for row in np.packbits(vectors > 0, axis=1)]


_ROWS_OF: RowsOf = {
    Encoding.FLOAT: float_rows,
    Encoding.BASE64: base64_rows,
    Encoding.BINARY: packed_rows,
    Encoding.UBINARY: packed_rows,
}


def embeddings_json(result: EmbedResult, encodings: Sequence[Encoding], *, model: str, max_bytes: int) -> bytes:
    """The answer under the name `model`, as JSON. With several encodings a vector is an object keyed by their names, in
    order.

    Numbers are the shortest that read back as the same float32. Raises `InvalidField` where the answer is larger than
    `max_bytes`.
    """
    budget = OutputBudget(max_bytes)
    rows = _single_vectors if result.token_vectors is None else _token_vectors
    data = budget.add_list(orjson.dumps(row, None, orjson.OPT_SERIALIZE_NUMPY) for row in rows(result, encodings))
    return b'{"model":%b,"object":"list","data":%b,"usage":%b}' % (
        orjson.dumps(model),
        data,
        orjson.dumps(usage_of(result.usage)),
    )


def usage_of(usage: Usage) -> dict[str, int]:
    counts = {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.total_tokens}
    return {**counts, "image_tokens": usage.image_tokens} if usage.image_tokens else counts


def _single_vectors(result: EmbedResult, encodings: Sequence[Encoding]) -> Iterator[dict[str, Any]]:
    for index, row in enumerate(encoded_rows(result.vectors, encodings, rows_of=_ROWS_OF)):
        yield {"object": "embedding", "index": index, "embedding": row}


def _token_vectors(result: EmbedResult, encodings: Sequence[Encoding]) -> Iterator[dict[str, Any]]:
    """An entry an input; its vectors, one a token, are a list, or with several encodings an object of lists."""
    for index, vectors in enumerate(result.token_vectors or ()):
        lists = {encoding.value: _ROWS_OF[encoding](vectors) for encoding in encodings}
        entry = {"object": "embeddings", "index": index, "embeddings": lists if len(lists) > 1 else lists.popitem()[1]}
        yield {**entry, "tokenized_input": result.tokens[index]} if result.tokens else entry
