from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gateway.errors import InvalidVector
from gateway.vectors.shortening import normalise, shorten, unit_rows

finite = st.floats(-(2.0**100), 2.0**100, width=32).filter(lambda value: value == 0.0 or abs(value) > 1e-30)
rows = arrays(np.float32, st.tuples(st.integers(1, 4), st.just(8)), elements=finite)


@given(rows, st.integers(1, 8))
def test_shortened_rows_are_the_cut_at_unit_length(vectors: np.ndarray, dimensions: int) -> None:
    kept = vectors[:, :dimensions]
    if not np.any(kept, axis=1).all():
        with pytest.raises(InvalidVector):
            shorten(vectors, dimensions)
        return
    short = shorten(vectors, dimensions)
    assert short.shape == kept.shape
    assert short.dtype == np.float32
    for got, source in zip(short.tolist(), kept.tolist(), strict=True):
        norm = math.hypot(*source)
        assert got == pytest.approx([value / norm for value in source], rel=1e-6, abs=1e-7)
        assert math.hypot(*got) == pytest.approx(1.0, abs=1e-6)


@given(rows)
def test_unit_rows_stay_as_they_are(vectors: np.ndarray) -> None:
    kept = vectors[np.any(vectors, axis=1)]
    if len(kept):
        once = normalise(kept)
        np.testing.assert_allclose(normalise(once), once, rtol=0, atol=1e-7)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_row_without_direction_is_refused(poison: float) -> None:
    vectors = np.ones((2, 4), np.float32)
    vectors[1, 2] = poison
    with pytest.raises(InvalidVector):
        normalise(vectors)


@pytest.mark.parametrize("dimensions", [0, -1, 5])
def test_a_size_out_of_range_is_a_programming_error(dimensions: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 4"):
        shorten(np.ones((1, 4), np.float32), dimensions)


@given(st.lists(st.sampled_from(["good", "tiny", "huge", "nan", "inf", "zeros"]), min_size=1, max_size=9))
def test_rows_without_direction_are_named_and_the_others_are_as_alone(kinds: list[str]) -> None:
    drawn = np.random.default_rng(len(kinds)).normal(size=(len(kinds), 6)).astype(np.float32)
    scale = {"good": 1.0, "tiny": np.finfo(np.float32).smallest_subnormal, "huge": 1e37, "zeros": 0.0}
    vectors = np.stack([row * np.float32(scale.get(kind, 1.0)) for row, kind in zip(drawn, kinds, strict=True)])
    for row, kind in enumerate(kinds):
        if kind in ("nan", "inf"):
            vectors[row, 2] = float(kind)
    vectors[[row for row, kind in enumerate(kinds) if kind == "tiny"], 0] = scale["tiny"]
    given_vectors = vectors.copy()
    unit, invalid = unit_rows(vectors)
    assert set(invalid) == {row for row, kind in enumerate(kinds) if kind in ("nan", "inf", "zeros")}
    np.testing.assert_array_equal(vectors, given_vectors)
    for row in set(range(len(kinds))) - set(invalid):
        np.testing.assert_array_equal(unit[row], normalise(vectors[row : row + 1])[0])
        assert math.hypot(*unit[row].tolist()) == pytest.approx(1.0, abs=1e-6)
