"""The items of a large answer in numbers, written in place: put together from parts, tens of megabytes would be copied,
and every page of theirs asked of the system, a second time.
"""

from __future__ import annotations

import numpy as np

from gateway.types import Float32Array
from gateway.vectors.float_text import text_bytes, write_float_texts

Body = bytes | memoryview

_WORD_BYTES = 4


def many_float_items(vectors: Float32Array, *, start: bytes, end: bytes) -> memoryview:
    """`start`, the list of an item for each row of float32 [rows, size], and `end`, as one JSON text.

    The values have to be such that `gateway.vectors.float_text.is_writable`. Spaces fill up what has to lie at
    multiples of four bytes.
    """
    rows, size = vectors.shape
    opening = _filled_up(start)
    heads = b"".join([_filled_up(b',{"object":"embedding","index":%10d,"embedding":' % index) for index in range(rows)])
    head_bytes = len(heads) // rows
    row_bytes = head_bytes + text_bytes(size) + _WORD_BYTES
    answer = np.empty(len(opening) + rows * row_bytes + 1 + len(end), dtype=np.uint8)
    items = answer[len(opening) : len(opening) + rows * row_bytes].reshape(rows, row_bytes)
    answer[: len(opening)] = np.frombuffer(opening, np.uint8)
    answer[-1 - len(end) :] = np.frombuffer(b"]" + end, np.uint8)
    items[:, :head_bytes] = np.frombuffer(heads, np.uint8).reshape(rows, head_bytes)
    items[:, -_WORD_BYTES:] = np.frombuffer(b"   }", np.uint8)
    items[0, 0] = ord("[")
    write_float_texts(vectors, items[:, head_bytes:-_WORD_BYTES])
    return answer.data


def _filled_up(text: bytes) -> bytes:
    return text + b" " * (-len(text) % _WORD_BYTES)
