"""The items of a large answer, written in place: put together from parts, tens of megabytes would be copied, and every
page of theirs asked of the system, a second time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gateway.types import Float32Array
from gateway.vectors import base64_text, float_text

Body = bytes | memoryview

_WORD_BYTES = 4


def many_float_items(vectors: Float32Array, *, start: bytes, end: bytes) -> memoryview:
    """`start`, the list of an item for each row of float32 [rows, size], and `end`, as one JSON text.

    The values have to be such that `gateway.vectors.float_text.is_writable`.
    """
    rows, size = vectors.shape
    answer, texts = _with_room(rows, float_text.text_bytes(size), quote=b"", start=start, end=end)
    float_text.write_float_texts(vectors, texts)
    return answer.data


def many_base64_items(vectors: Float32Array, *, start: bytes, end: bytes) -> memoryview:
    """As `many_float_items`, of any values, in base64 of little-endian float32."""
    rows, size = vectors.shape
    answer, texts = _with_room(rows, base64_text.text_bytes(size), quote=b'"', start=start, end=end)
    base64_text.write_base64_texts(vectors, texts)
    return answer.data


def _with_room(
    rows: int, text_bytes: int, *, quote: bytes, start: bytes, end: bytes
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A whole answer, uint8, and the room in it for what stands between the quotes of each item, [rows, text_bytes].

    The room for a row lies at a multiple of four bytes where a text is that long; spaces fill up what is before.
    """
    opening = start + b" " * (-len(start) % _WORD_BYTES)
    heads = b"".join([_head(index, quote) for index in range(rows)])
    head_bytes = len(heads) // rows
    tail = quote.ljust(_WORD_BYTES - 1) + b"}"
    row_bytes = head_bytes + text_bytes + len(tail)
    answer = np.empty(len(opening) + rows * row_bytes + 1 + len(end), dtype=np.uint8)
    items = answer[len(opening) : len(opening) + rows * row_bytes].reshape(rows, row_bytes)
    answer[: len(opening)] = np.frombuffer(opening, np.uint8)
    answer[-1 - len(end) :] = np.frombuffer(b"]" + end, np.uint8)
    items[:, :head_bytes] = np.frombuffer(heads, np.uint8).reshape(rows, head_bytes)
    items[:, head_bytes + text_bytes :] = np.frombuffer(tail, np.uint8)
    items[0, 0] = ord("[")
    return answer, items[:, head_bytes : head_bytes + text_bytes]


def _head(index: int, quote: bytes) -> bytes:
    text = b',{"object":"embedding","index":%10d,"embedding":' % index
    return text + b" " * (-len(text + quote) % _WORD_BYTES) + quote
