"""Vectors as bytes for the wire. Adding an encoding is adding a function here."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import orjson
import pybase64

from gateway.types import Float32Array
from gateway.vectors.float_text import float_texts, is_writable

# For fewer values the time that NumPy saves is not worth its larger text.
_MIN_VALUES_FOR_CELLS = 16 * 1024
_LITTLE_ENDIAN = np.dtype("<f4")


def float_rows(vectors: Float32Array) -> list[Float32Array]:
    """The rows of float32 [rows, size] as arrays that orjson writes with `OPT_SERIALIZE_NUMPY`.

    C-contiguous and of native byte order, as orjson asks; it writes the shortest text that reads back the same float32.
    """
    return list(np.ascontiguousarray(vectors, dtype=np.float32))


def are_many(vectors: Float32Array) -> bool:
    """Whether the rows of `vectors` are written in less time by `gateway.vectors.float_text`, which makes more bytes of
    them, than by a JSON encoder."""
    return vectors.size >= _MIN_VALUES_FOR_CELLS and is_writable(vectors)


def float_lists(vectors: Float32Array) -> Iterator[bytes | memoryview]:
    """Each row of float32 [rows, size] as a JSON list whose numbers read back as the same float32 values."""
    if are_many(vectors):
        yield from float_texts(vectors)
        return
    for row in _rows(np.ascontiguousarray(vectors, dtype=np.float32)):
        yield orjson.dumps(row, None, orjson.OPT_SERIALIZE_NUMPY)


def base64_strings(vectors: Float32Array) -> Iterator[bytes]:
    """As `base64_rows`, each a JSON string."""
    for row in _rows(np.ascontiguousarray(vectors, dtype=_LITTLE_ENDIAN)):
        yield b'"%b"' % pybase64.b64encode(row.data)


def _rows(matrix: Float32Array) -> Iterator[Float32Array]:
    """An array's own iteration ends by an error whose text takes longer than a row."""
    return map(matrix.__getitem__, range(len(matrix)))


def base64_rows(vectors: Float32Array) -> list[str]:
    """Each row of float32 [rows, size] as base64 of its little-endian float32 bytes."""
    little = np.ascontiguousarray(vectors, dtype=_LITTLE_ENDIAN)
    return [pybase64.b64encode_as_string(row.data) for row in little]


def ubinary_rows(vectors: Float32Array) -> list[npt.NDArray[np.uint8]]:
    """One bit a value of float32 [rows, size], 1 where the value is above zero: uint8 [(size + 7) // 8] a row.

    The first value is the highest bit of the first byte; a size that is no multiple of 8 is filled up with zero bits.
    """
    return list(np.packbits(vectors > 0, axis=1))


def binary_rows(vectors: Float32Array) -> list[npt.NDArray[np.int8]]:
    """As `ubinary_rows`, each byte less 128: int8. Clients add 128 to get the byte back."""
    # Flipping a byte's highest bit and reading it as signed subtracts 128; reading it as signed alone would not.
    return list((np.packbits(vectors > 0, axis=1) ^ np.uint8(0x80)).view(np.int8))


# Standard deviations of a value that the whole range of a byte stands for, on either side of zero.
_RANGE_DEVIATIONS = 4.0
_LARGEST_INT8 = 127


def int8_rows(vectors: Float32Array) -> list[npt.NDArray[np.int8]]:
    """Each value of float32 [rows, size], of unit length, as a whole number from -127 to 127.

    The values of unit vectors have a standard deviation of 1/sqrt(size); four of them are 127, what lies beyond is cut
    off. One scale for all values of all texts, so that dot products stay in proportion from request to request; no
    texts to calibrate by are needed.
    """
    scale = _LARGEST_INT8 * np.sqrt(vectors.shape[1]) / _RANGE_DEVIATIONS
    return list(np.clip(np.rint(vectors * scale), -_LARGEST_INT8, _LARGEST_INT8).astype(np.int8))


def uint8_rows(vectors: Float32Array) -> list[npt.NDArray[np.uint8]]:
    """As `int8_rows`, each number plus 128: from 1 to 255, with 128 for zero."""
    return [(row.astype(np.int16) + 128).astype(np.uint8) for row in int8_rows(vectors)]
