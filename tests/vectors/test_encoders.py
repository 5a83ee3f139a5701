from __future__ import annotations

import base64
import struct

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gateway.vectors.encoders import (
    are_many,
    base64_rows,
    base64_strings,
    binary_rows,
    float_lists,
    float_rows,
    int8_rows,
    ubinary_rows,
    uint8_rows,
)

vectors = arrays(
    np.float32,
    st.tuples(st.integers(0, 4), st.integers(1, 9)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(vectors)
def test_base64_is_little_endian_float32(rows: np.ndarray) -> None:
    for text, row in zip(base64_rows(rows), rows.tolist(), strict=True):
        assert list(struct.unpack(f"<{len(row)}f", base64.b64decode(text, validate=True))) == row


@given(vectors)
def test_strings_of_base64_are_the_rows_as_json(rows: np.ndarray) -> None:
    assert [orjson.loads(text) for text in base64_strings(rows)] == base64_rows(rows)


@pytest.mark.parametrize("rows", [3, 64])
@pytest.mark.parametrize("stretched", [1, 50])
def test_lists_of_few_many_and_odd_floats_read_back_as_the_same_float32(rows: int, stretched: int) -> None:
    drawn = np.random.default_rng(4).uniform(-0.9, 0.9, (rows, 1024)).astype(np.float32) * np.float32(stretched)
    assert are_many(drawn) == (rows == 64 and stretched == 1)
    read = np.array([orjson.loads(text) for text in float_lists(drawn)], np.float64).astype(np.float32)
    assert np.array_equal(read, drawn)


@given(vectors, st.booleans())
def test_floats_read_back_as_the_same_float32(rows: np.ndarray, transposed: bool) -> None:
    rows = rows.T if transposed else rows
    written = orjson.dumps(float_rows(rows), option=orjson.OPT_SERIALIZE_NUMPY)
    read = np.array(orjson.loads(written), dtype=np.float32).reshape(rows.shape)
    assert read.tobytes() == np.ascontiguousarray(rows + np.float32(0)).tobytes() or np.array_equal(read, rows)


def test_a_known_vector() -> None:
    assert base64_rows(np.array([[1.0, -2.0]], np.float32)) == ["AACAPwAAAMA="]


def bits_of(row: list[float]) -> list[int]:
    """The bytes by plain arithmetic: eight values a byte, the first one worth 128."""
    padded = [1 if value > 0 else 0 for value in row] + [0] * (-len(row) % 8)
    return [int("".join(map(str, padded[start : start + 8])), 2) for start in range(0, len(padded), 8)]


around_zero = st.sampled_from([-1.5, -0.0, 0.0, 2.0**-126, 2.0])  # the fourth is as good as zero, and above it


@given(arrays(np.float32, st.tuples(st.integers(0, 4), st.integers(1, 40)), elements=around_zero))
def test_bits_are_values_above_zero_the_first_one_highest(rows: np.ndarray) -> None:
    for unsigned, signed, row in zip(ubinary_rows(rows), binary_rows(rows), rows.tolist(), strict=True):
        assert unsigned.tolist() == bits_of(row)
        assert signed.tolist() == [byte - 128 for byte in bits_of(row)]


def test_the_known_bytes_of_binary_and_ubinary() -> None:
    bits = np.unpackbits(np.array([[50, 193, 128, 255]], np.uint8), axis=1)
    vectors = np.where(bits == 1, 0.25, -0.25).astype(np.float32)
    assert orjson.dumps(ubinary_rows(vectors), option=orjson.OPT_SERIALIZE_NUMPY) == b"[[50,193,128,255]]"
    assert orjson.dumps(binary_rows(vectors), option=orjson.OPT_SERIALIZE_NUMPY) == b"[[-78,65,0,127]]"
    zeros = np.zeros((1, 8), np.float32)
    assert ubinary_rows(zeros)[0].tolist() == [0]
    assert binary_rows(zeros)[0].tolist() == [-128]


def test_clients_get_the_bits_back() -> None:
    """As llama_index decodes: add 128, unpack, most significant bit first."""
    vectors = np.random.default_rng(3).standard_normal((2, 384)).astype(np.float32)
    for row, signed in zip(vectors, binary_rows(vectors), strict=True):
        bits = np.unpackbits((np.array(signed.tolist(), np.int16) + 128).astype(np.uint8))
        assert np.array_equal(bits == 1, row > 0)


def test_sizes_that_are_no_multiple_of_eight_are_filled_up_with_zero_bits() -> None:
    assert ubinary_rows(np.ones((1, 3), np.float32))[0].tolist() == [0b11100000]


def test_int8_and_uint8_keep_angles_and_the_proportions_of_dot_products() -> None:
    draw = np.random.default_rng(7)
    for size in (64, 384, 1024):
        vectors = draw.standard_normal((50, size)).astype(np.float32)
        vectors[1:] += 2 * vectors[0]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        signed = np.array(int8_rows(vectors), dtype=np.float64)
        unsigned = np.array(uint8_rows(vectors), dtype=np.float64)
        np.testing.assert_array_equal(unsigned - 128, signed)
        scale = 127 * np.sqrt(size) / 4
        np.testing.assert_allclose(signed @ signed.T / scale**2, vectors @ vectors.T, atol=0.02)
        # Half a step of rounding, where nothing is cut off.
        inside = np.abs(vectors * scale) < 127
        assert np.abs(signed - vectors * scale)[inside].max() <= 0.5 + 1e-3


def test_values_beyond_the_range_of_a_byte_are_cut_off() -> None:
    vectors = np.array([[1.0, -1.0, 0.0] + [0.0] * 97], dtype=np.float32)
    [signed], [unsigned] = int8_rows(vectors), uint8_rows(vectors)
    assert (signed.dtype, signed[:3].tolist()) == (np.int8, [127, -127, 0])
    assert (unsigned.dtype, unsigned[:3].tolist()) == (np.uint8, [255, 1, 128])
