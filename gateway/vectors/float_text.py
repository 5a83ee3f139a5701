"""Writes very many float32 values as JSON numbers with NumPy, in half the time that a JSON encoder takes to find the
shortest text of each, and with the interpreter free for other threads meanwhile.

Every value takes one cell of 16 bytes: `,-0.` and twelve digits, a space in the place of a sign that is missing.
Measured 2026-11 on 2 shared Zen 5 cores: 12 ns a value against 22 to 32 of orjson, for a quarter more bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gateway.types import Float32Array

_CELL_BYTES = 16
_WORDS_A_CELL = 4
# Twelve digits behind the point are off by at most 5e-13; float32 values from here to 1 are 1.8e-12 apart and more, so
# the text is nearer to its own value than to any other.
_SMALLEST_BITS = np.float32(2.0**-16).view(np.uint32)
_SPAN_BITS = np.float32(1.0).view(np.uint32) - _SMALLEST_BITS
_LARGEST = np.nextafter(np.float32(1.0), np.float32(0.0))
# Values outside these bounds are written one by one; of more of them than this an encoder is faster.
_MAX_ODD_SHARE = 1 / 64
# What is worked on at once stays in the processor's second cache.
_VALUES_AT_ONCE = 16 * 1024

_Words = tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]


def is_writable(vectors: Float32Array) -> bool:
    """Whether `float_texts` is worth it: nearly all values lie between 2**-16 and 1, and all are finite."""
    odd = vectors[_are_odd(vectors)]
    return odd.size <= vectors.size * _MAX_ODD_SHARE and bool(np.isfinite(odd).all())


def float_texts(vectors: Float32Array) -> Iterator[memoryview]:
    """For each row of float32 [rows, size], size at least 1, a JSON list that reads back as the same float32 values.

    The values have to be finite.
    """
    rows, size = vectors.shape
    rows_at_once = max(1, _VALUES_AT_ONCE // size)
    for start in range(0, rows, rows_at_once):
        block = vectors[start : start + rows_at_once]
        texts = np.empty((len(block), text_bytes(size)), dtype=np.uint8)
        write_float_texts(block, texts)
        for text in texts:
            yield text.data


def text_bytes(size: int) -> int:
    """The length of one list of `size` values, a multiple of four."""
    return size * _CELL_BYTES + 4


def write_float_texts(vectors: Float32Array, texts: npt.NDArray[np.uint8]) -> None:
    """As `float_texts`, into `texts`, uint8 [rows, `text_bytes`], whose rows lie at multiples of four bytes: whoever
    has the room for a whole answer spares a copy of it."""
    rows, size = vectors.shape
    rows_at_once = max(1, _VALUES_AT_ONCE // size)
    words = _digit_words()
    for start in range(0, rows, rows_at_once):
        block = np.ascontiguousarray(vectors[start : start + rows_at_once], dtype=np.float32)
        _write_block(block, texts[start : start + rows_at_once], words)


def _write_block(block: Float32Array, texts: npt.NDArray[np.uint8], words: _Words) -> None:
    rows, size = block.shape
    cells = texts[:, :-4].view(np.uint32).reshape(rows, size, _WORDS_A_CELL)
    _write_cells(cells, block, words)
    for row, column in zip(*np.nonzero(_are_odd(block)), strict=True):
        cell = b",% .8e" % block[row, column]
        texts[row, column * _CELL_BYTES : (column + 1) * _CELL_BYTES] = np.frombuffer(cell, np.uint8)
    texts[:, 0] = ord("[")
    texts[:, -4:] = np.frombuffer(b"   ]", np.uint8)


def _are_odd(values: Float32Array) -> npt.NDArray[np.bool_]:
    """Whether they lie outside the bounds, whatever their sign; zero does. Floats are in order of their bits."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32) & np.uint32(0x7FFF_FFFF)
    bits -= _SMALLEST_BITS  # below the smallest this wraps round and is more than any span
    odd: npt.NDArray[np.bool_] = bits >= _SPAN_BITS
    return odd


def _digit_words() -> _Words:
    """Four bytes each: the beginning of a cell by its sign, and every four digits by their number."""
    beginnings = np.frombuffer(b", 0.,-0.", dtype=np.uint32)
    return beginnings, np.frombuffer(b"".join([b"%04d" % number for number in range(10_000)]), dtype=np.uint32)


def _write_cells(cells: npt.NDArray[np.uint32], block: Float32Array, words: _Words) -> None:
    """The twelve digits in three words, by exact arithmetic on whole numbers below 2**53 in float64."""
    beginnings, digits = words
    sizes = np.minimum(np.abs(block), _LARGEST)  # what was larger is an odd one and written again
    left = sizes.astype(np.float64)
    left *= 1e12
    np.rint(left, out=left)
    cells[:, :, 0] = beginnings[np.signbit(block).view(np.uint8)]
    for word, unit in ((1, 1e8), (2, 1e4)):
        whole = np.floor(left / unit)
        left -= whole * unit
        cells[:, :, word] = digits.take(whole.astype(np.intp))
    cells[:, :, 3] = digits.take(left.astype(np.intp))
