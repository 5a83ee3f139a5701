"""Lists are written row by row, large ones away from the event loop."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from gateway.dialects.json_rows import (
    INLINE_BYTES,
    json_list,
    json_list_of_small,
    json_list_pieces,
    json_vectors,
    written,
)


def test_rows_make_a_json_list() -> None:
    assert json.loads(json_list(iter([{"a": "\u00e4"}, [1, 2], None, np.array([0.5], np.float32)]))) == [
        {"a": "\u00e4"},
        [1, 2],
        None,
        [0.5],
    ]
    assert json_list([]) == b"[]"


@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 4097, 10_000])
def test_many_small_rows_make_the_same_list(count: int) -> None:
    rows = [[str(number), [number]] for number in range(count)]
    assert json_list_of_small(rows) == json_list(rows)


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 64])
def test_pieces_add_up_to_the_same_list(count: int) -> None:
    rows = [np.full(3, number, np.float32) for number in range(count)]
    pieces = list(json_list_pieces(rows, rows_at_once=32))
    assert b"".join(pieces) == json_list(rows)
    assert max(map(len, pieces)) <= 32 * len(b"[00.0,00.0,00.0],")


async def test_only_large_answers_are_made_in_a_thread() -> None:
    makers: list[int] = []

    def make() -> bytes:
        makers.append(threading.get_ident())
        return b"x"

    for expected_bytes in (INLINE_BYTES, INLINE_BYTES + 1):
        assert await written(make, expected_bytes=expected_bytes) == b"x"
    assert [maker == threading.get_ident() for maker in makers] == [True, False]


@pytest.mark.parametrize("rows", [0, 1, 3, 200])
def test_vectors_read_back_as_the_same_values(rows: int) -> None:
    vectors = np.random.default_rng(3).standard_normal((rows, 96)).astype(np.float32) / 10
    read = np.asarray(json.loads(json_vectors(vectors)), np.float32).reshape(rows, 96)
    assert np.array_equal(read, vectors)
