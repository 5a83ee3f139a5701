"""Oracle: ml_dtypes, whose types are those that NumPy and PyTorch exchange, and `struct` for byte orders."""

from __future__ import annotations

import base64
import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vectors.packing import NumberType, Packing

TYPES: dict[NumberType, Any] = {
    NumberType.FLOAT32: np.float32,
    NumberType.FLOAT16: np.float16,
    NumberType.BFLOAT16: ml_dtypes.bfloat16,
    NumberType.FP8_E4M3: ml_dtypes.float8_e4m3fn,
    NumberType.FP8_E5M2: ml_dtypes.float8_e5m2,
}
LARGEST = {NumberType.FLOAT16: 65504.0, NumberType.FP8_E4M3: 448.0, NumberType.FP8_E5M2: 57344.0}
# Within what every type can hold, beside values that lie between two neighbours of the coarser types.
values = st.floats(-400, 400, width=32) | st.floats(-1, 1, width=32) | st.integers(-448, 448).map(float)
kinds = st.sampled_from(list(NumberType))


@given(kinds, st.lists(st.lists(values, min_size=3, max_size=3), min_size=1, max_size=4))
def test_values_are_rounded_as_by_the_types_themselves(kind: NumberType, rows: list[list[float]]) -> None:
    vectors = np.array(rows, dtype=np.float32)
    packed = Packing(kind).bytes_of(vectors)
    assert packed.shape == (len(rows), 3 * np.dtype(TYPES[kind]).itemsize)
    assert packed.tobytes() == vectors.astype(TYPES[kind]).tobytes()


@pytest.mark.parametrize("kind", [kind for kind in NumberType if kind is not NumberType.FLOAT32])
def test_every_tie_between_neighbours_goes_to_the_even_one(kind: NumberType) -> None:
    size = np.dtype(TYPES[kind]).itemsize
    codes = np.arange(256 if size == 1 else 65536, dtype=np.uint8 if size == 1 else np.uint16)
    with np.errstate(invalid="ignore"):  # some codes are no numbers
        numbers = codes.view(TYPES[kind]).astype(np.float64)
    numbers = np.unique(numbers[np.isfinite(numbers)])
    ties = ((numbers[:-1] + numbers[1:]) / 2).astype(np.float32)[None]
    assert Packing(kind).bytes_of(ties).tobytes() == ties.astype(TYPES[kind]).tobytes()


@pytest.mark.parametrize("kind", list(LARGEST))
def test_what_is_too_large_becomes_the_largest_number_and_never_infinity(kind: NumberType) -> None:
    vectors = np.array([[1e30, -1e30, 3.4028235e38]], dtype=np.float32)
    read = Packing(kind).bytes_of(vectors).view(TYPES[kind]).astype(np.float64)
    assert read.tolist() == [[LARGEST[kind], -LARGEST[kind], LARGEST[kind]]]


def test_the_largest_float32_stays_finite_in_bfloat16() -> None:
    read = Packing(NumberType.BFLOAT16).bytes_of(np.array([[3.4028235e38]], np.float32)).view(ml_dtypes.bfloat16)
    assert np.isfinite(read.astype(np.float64)).all()


@pytest.mark.parametrize(("kind", "letter"), [(NumberType.FLOAT32, "f"), (NumberType.FLOAT16, "e")])
def test_byte_orders(kind: NumberType, letter: str) -> None:
    rows = np.array([[0.5, -2.0], [1.25, 0.0]], dtype=np.float32)
    for big_endian, order in ((False, "<"), (True, ">")):
        packed = Packing(kind, big_endian=big_endian).bytes_of(rows)
        assert [struct.unpack(f"{order}2{letter}", row.tobytes()) for row in packed] == [(0.5, -2.0), (1.25, 0.0)]


def test_a_byte_has_no_order() -> None:
    rows = np.array([[0.5, -2.0]], dtype=np.float32)
    one, other = (Packing(NumberType.FP8_E4M3, big_endian=big).bytes_of(rows) for big in (False, True))
    assert one.tobytes() == other.tobytes()


def test_rows_that_are_not_contiguous_are_packed_by_value() -> None:
    wide = np.arange(24, dtype=np.float32).reshape(3, 8)
    packed = Packing(NumberType.FLOAT16).bytes_of(wide[:, ::2])
    assert packed.view(np.float16).tolist() == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18, 20, 22]]


def test_strings_are_base64_of_each_row() -> None:
    [text] = Packing(NumberType.BFLOAT16, big_endian=True).strings(np.array([[1.0, -2.0]], np.float32))
    assert base64.b64decode(text, validate=True) == b"\x3f\x80\xc0\x00"
