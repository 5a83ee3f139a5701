"""Vectors as bare numbers of a chosen type and byte order, for clients that read bytes instead of JSON."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
import pybase64

from gateway.types import Float32Array, UInt8Array

# The largest number of each type that is not infinity; beyond it there is nothing that a client could use.
_MOST_FLOAT16 = 65504.0
_MOST_BFLOAT16 = 3.3895313892515355e38


class NumberType(Enum):
    """What each value is written as. FP8_E4M3 is the variant without infinities, whose largest number is 448."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    FP8_E4M3 = "fp8_e4m3"
    FP8_E5M2 = "fp8_e5m2"


@dataclass(frozen=True, slots=True)
class Packing:
    """How values become bytes: rounded to the nearest number of `kind`, of two as near to the one whose last bit is 0;
    those beyond its largest become that."""

    kind: NumberType = NumberType.FLOAT32
    big_endian: bool = False

    def bytes_of(self, vectors: Float32Array) -> UInt8Array:
        """uint8 [rows, bytes a row] for float32 [rows, size]. The values have to be finite."""
        single = np.ascontiguousarray(vectors, dtype=np.float32)
        if self.kind is NumberType.FLOAT32:
            return self._ordered(single)
        if self.kind is NumberType.FLOAT16:
            return self._ordered(np.clip(single, -_MOST_FLOAT16, _MOST_FLOAT16).astype(np.float16))
        if self.kind is NumberType.BFLOAT16:
            return self._ordered(_bfloat16(single))
        return _fp8(single, mantissa_bits=3 if self.kind is NumberType.FP8_E4M3 else 2)

    def strings(self, vectors: Float32Array) -> list[str]:
        """Each row of float32 [rows, size] as base64 of its bytes."""
        return [pybase64.b64encode_as_string(row.data) for row in self.bytes_of(vectors)]

    def _ordered(self, numbers: npt.NDArray[np.float32 | np.float16 | np.uint16]) -> UInt8Array:
        ordered = numbers.astype(numbers.dtype.newbyteorder(">" if self.big_endian else "<"))
        return ordered.view(np.uint8).reshape(len(numbers), -1)


def _bfloat16(vectors: Float32Array) -> npt.NDArray[np.uint16]:
    """The upper half of a float32. What is cut off rounds it by being added to: half of its last bit, and a little less
    where that bit is 0, so that a tie stays below."""
    bits = np.clip(vectors, -_MOST_BFLOAT16, _MOST_BFLOAT16).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _fp8(vectors: Float32Array, *, mantissa_bits: int) -> UInt8Array:
    """One byte a value: sign, 7 - `mantissa_bits` bits of exponent, mantissa. Numbers and their codes have the same
    order, so a number's code is how many of the limits between neighbours lie below it."""
    magnitudes = _fp8_magnitudes(mantissa_bits)
    limits = (magnitudes[:-1] + magnitudes[1:]) / 2
    sizes = np.abs(vectors).astype(np.float64)
    below = np.searchsorted(limits, sizes, side="left")
    is_tie = below != np.searchsorted(limits, sizes, side="right")
    codes = (below + (is_tie & (below % 2 == 1))).astype(np.uint8)
    signs = np.signbit(vectors).astype(np.uint8)
    return np.bitwise_or(codes, signs << 7, dtype=np.uint8)


def _fp8_magnitudes(mantissa_bits: int) -> npt.NDArray[np.float64]:
    """The finite numbers from 0 up, in order of their codes (OCP 8-bit floating point specification, revision 1.0).

    Of 3 mantissa bits only the last code is no number; of 2 the last exponent is infinity and what is none.
    """
    bias = 7 if mantissa_bits == 3 else 15
    codes = np.arange(0x7F if mantissa_bits == 3 else 0x7C)
    exponents, mantissas = codes >> mantissa_bits, (codes & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    subnormal = mantissas * 2.0 ** (1 - bias)
    return np.where(exponents == 0, subnormal, (1 + mantissas) * 2.0 ** (exponents - bias))
