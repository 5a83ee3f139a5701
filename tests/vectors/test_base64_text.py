"""Base64 written by the block is what the standard library makes of each row."""

from __future__ import annotations

import base64
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gateway.vectors.base64_text import text_bytes, write_base64_texts

shapes = st.tuples(st.integers(0, 9), st.integers(1, 9))


def written(vectors: np.ndarray) -> list[bytes]:
    texts = np.full((len(vectors), text_bytes(vectors.shape[1])), ord("x"), np.uint8)
    write_base64_texts(vectors, texts)
    return [bytes(text) for text in texts]


def by_the_standard_library(vectors: np.ndarray) -> list[bytes]:
    return [base64.b64encode(struct.pack(f"<{len(row)}f", *row)) for row in vectors.tolist()]


@given(arrays(np.float32, shapes))
def test_any_values_of_any_size(vectors: np.ndarray) -> None:
    bits = vectors.view(np.uint32)
    assert [base64.b64decode(text, validate=True) for text in written(vectors)] == [row.tobytes() for row in bits]


@pytest.mark.parametrize("size", [1024, 1023, 1022, 70_000], ids=str)
def test_more_rows_than_are_written_at_once(size: int) -> None:
    vectors = np.random.default_rng(size).standard_normal((150 if size < 2000 else 3, size)).astype(np.float32)
    assert written(vectors) == by_the_standard_library(vectors)


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[:, ::2], lambda a: a[::-1], lambda a: a.astype(">f4")])
def test_views_of_any_layout(view: object) -> None:
    vectors = np.random.default_rng(6).standard_normal((100, 120)).astype(np.float32)
    assert written(view(vectors)) == by_the_standard_library(view(vectors))  # type: ignore[operator]


def test_rows_are_written_into_the_room_given_and_nowhere_else() -> None:
    vectors = np.random.default_rng(8).standard_normal((3, 5)).astype(np.float32)
    room = np.full((3, 8 + text_bytes(5) + 4), ord("x"), np.uint8)
    write_base64_texts(vectors, room[:, 8:-4])
    assert np.all(room[:, :8] == ord("x"))
    assert np.all(room[:, -4:] == ord("x"))
    assert [bytes(row[8:-4]) for row in room] == by_the_standard_library(vectors)
