from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidVector
from gateway.vectors.checking import check_shape, invalid_rows

FAULTS = {"nan": math.nan, "inf": math.inf, "minus inf": -math.inf, "zeros": 0.0}


@given(st.lists(st.sampled_from(["good", "tiny", "huge", *FAULTS]), max_size=12))
def test_exactly_the_bad_rows_are_named(kinds: list[str]) -> None:
    vectors = np.random.default_rng(len(kinds)).normal(size=(len(kinds), 6)).astype(np.float32)
    for row, kind in enumerate(kinds):
        if kind == "zeros":
            vectors[row] = 0.0
        elif kind == "tiny":
            vectors[row] = np.finfo(np.float32).tiny
        elif kind == "huge":
            vectors[row] = np.finfo(np.float32).max
        elif kind in FAULTS:
            vectors[row, 3] = FAULTS[kind]
    found = invalid_rows(vectors)
    assert set(found) == {row for row, kind in enumerate(kinds) if kind in FAULTS}
    assert all(type(error) is InvalidVector for error in found.values())


@pytest.mark.parametrize("shape", [(3, 4), (2, 5), (2, 4, 1), (8,)])
def test_a_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidVector, match="shape"):
        check_shape(np.ones(shape, np.float32), rows=2, size=4)


def test_the_right_shape_passes() -> None:
    check_shape(np.ones((2, 4), np.float32), rows=2, size=4)
