"""Numbers written in cells read back as the same float32, bit for bit, by parsers that know nothing of cells."""

from __future__ import annotations

import json

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gateway.vectors.float_text import float_texts, is_writable, text_bytes, write_float_texts

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
inside = st.floats(min_value=2.0**-16, max_value=1.0, exclude_max=True, width=32)
shapes = st.tuples(st.integers(1, 5), st.integers(1, 9))


def check_same_bits(vectors: np.ndarray) -> None:
    texts = [bytes(text) for text in float_texts(vectors)]
    assert {len(text) for text in texts} == {text_bytes(vectors.shape[1])}
    for parse in (orjson.loads, json.loads):
        # As clients do: to double first, then to single.
        read = np.array([parse(text) for text in texts], dtype=np.float64).astype(np.float32)
        assert np.array_equal(read.view(np.uint32), np.ascontiguousarray(vectors).view(np.uint32))


@given(arrays(np.float32, shapes, elements=finite))
def test_any_finite_values_read_back_bit_for_bit(vectors: np.ndarray) -> None:
    check_same_bits(vectors)


@given(arrays(np.float32, shapes, elements=st.builds(lambda size, sign: size * sign, inside, st.sampled_from([-1, 1]))))
def test_values_of_the_usual_size_read_back_bit_for_bit(vectors: np.ndarray) -> None:
    check_same_bits(vectors)


def test_every_power_of_two_and_of_ten_with_its_neighbours() -> None:
    powers = np.concatenate([2.0 ** np.arange(-149, 128), 10.0 ** np.arange(-45, 39)]).astype(np.float32)
    beside = np.concatenate([powers, np.nextafter(powers, np.float32(0)), np.nextafter(powers, np.float32(np.inf))])
    check_same_bits(np.concatenate([beside, -beside])[np.isfinite(np.concatenate([beside, beside]))].reshape(1, -1))


def test_zeros_keep_their_sign() -> None:
    check_same_bits(np.array([[0.0, -0.0]], np.float32))


def test_a_million_values_of_random_bits_within_the_bounds() -> None:
    low, high = np.array([2.0**-16, 1.0], np.float32).view(np.uint32)
    bits = np.random.default_rng(5).integers(low, high, size=1_000_000, dtype=np.uint32)
    vectors = bits.view(np.float32).reshape(1000, 1000)
    read = np.array([orjson.loads(bytes(text)) for text in float_texts(vectors)], np.float64).astype(np.float32)
    assert np.array_equal(read.view(np.uint32), bits.reshape(1000, 1000))


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[:, ::2], lambda a: a[::-1]])
def test_views_of_any_layout(view: object) -> None:
    vectors = np.random.default_rng(6).uniform(-0.9, 0.9, (32, 48)).astype(np.float32)
    check_same_bits(view(vectors))  # type: ignore[operator]


def test_more_rows_than_are_written_at_once_keep_their_order() -> None:
    vectors = np.random.default_rng(7).uniform(-0.9, 0.9, (70, 1000)).astype(np.float32)
    check_same_bits(vectors)


def test_rows_are_written_into_the_room_given_and_nowhere_else() -> None:
    vectors = np.random.default_rng(8).uniform(-0.9, 0.9, (3, 5)).astype(np.float32)
    room = np.full((3, 8 + text_bytes(5) + 4), ord("x"), np.uint8)
    write_float_texts(vectors, room[:, 8:-4])
    assert np.all(room[:, :8] == ord("x"))
    assert np.all(room[:, -4:] == ord("x"))
    assert [orjson.loads(bytes(row[8:-4])) for row in room] == [
        pytest.approx(row, abs=1e-7) for row in vectors.tolist()
    ]


def unit_rows(rows: int, size: int) -> np.ndarray:
    drawn = np.random.default_rng(9).standard_normal((rows, size)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("size", [128, 384, 1024, 4096])
def test_unit_vectors_are_worth_it(size: int) -> None:
    assert is_writable(unit_rows(64, size))


@pytest.mark.parametrize("odd", [1.0, -7.5, 1e-9, 0.0])
def test_vectors_that_are_mostly_of_another_size_are_not(odd: float) -> None:
    vectors = unit_rows(64, 128)
    vectors[:, :8] = odd
    assert not is_writable(vectors)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_nothing_is_written_that_is_no_number(wrong: float) -> None:
    vectors = unit_rows(64, 128)
    vectors[3, 3] = wrong
    assert not is_writable(vectors)
