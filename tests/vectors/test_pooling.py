"""Poolings against plain Python sums, on right-padded, left-padded and poisoned padding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.vectors.pooling import POOLINGS, cls, last_token, maximum, mean, mean_sqrt_len, weighted_mean

SIZE = 3


@st.composite
def padded_batches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    left = draw(st.booleans())
    filler = draw(st.sampled_from([0.0, 7.5, math.nan, math.inf]))
    longest = max(lengths)
    seed = draw(st.integers(0, 2**16))
    hidden = np.random.default_rng(seed).normal(size=(len(lengths), longest, SIZE)).astype(np.float32)
    mask = np.zeros((len(lengths), longest), dtype=np.int64)
    for row, length in enumerate(lengths):
        mask[row, longest - length :] = left
        mask[row, :length] |= not left
    hidden[mask == 0] = filler
    return hidden, mask


@given(padded_batches())
def test_poolings_match_plain_python(batch: tuple[np.ndarray, np.ndarray]) -> None:
    hidden, mask = batch
    means, firsts, lasts = mean(hidden, mask), cls(hidden, mask), last_token(hidden, mask)
    for row in range(len(hidden)):
        kept = [hidden[row, token].tolist() for token in range(mask.shape[1]) if mask[row, token]]
        expected = [math.fsum(vector[axis] for vector in kept) / len(kept) for axis in range(SIZE)]
        np.testing.assert_allclose(means[row], expected, rtol=1e-6, atol=1e-6)
        assert firsts[row].tolist() == kept[0]
        assert lasts[row].tolist() == kept[-1]
    assert {means.dtype, firsts.dtype, lasts.dtype} == {np.dtype(np.float32)}


@given(padded_batches())
def test_rarer_poolings_match_plain_python(batch: tuple[np.ndarray, np.ndarray]) -> None:
    hidden, mask = batch
    largest, scaled, weighted = maximum(hidden, mask), mean_sqrt_len(hidden, mask), weighted_mean(hidden, mask)
    for row in range(len(hidden)):
        kept = [hidden[row, token].tolist() for token in range(mask.shape[1]) if mask[row, token]]
        columns = [[vector[axis] for vector in kept] for axis in range(SIZE)]
        assert largest[row].tolist() == [max(column) for column in columns]
        roots = [math.fsum(column) / math.sqrt(len(kept)) for column in columns]
        np.testing.assert_allclose(scaled[row], roots, rtol=1e-6, atol=1e-6)
        ramps = [math.fsum(place * one for place, one in enumerate(column, 1)) for column in columns]
        whole = len(kept) * (len(kept) + 1) / 2
        np.testing.assert_allclose(weighted[row], [ramp / whole for ramp in ramps], rtol=1e-6, atol=1e-6)
    assert {largest.dtype, scaled.dtype, weighted.dtype} == {np.dtype(np.float32)}


@given(st.integers(1, 20), st.integers(0, 40), st.integers(0, 1000))
def test_mean_does_not_see_the_padding_of_its_batch(tokens: int, padding: int, seed: int) -> None:
    hidden = np.random.default_rng(seed).normal(size=(1, tokens + padding, SIZE)).astype(np.float32)
    mask = (np.arange(tokens + padding) < tokens).astype(np.int64)[None]
    np.testing.assert_allclose(mean(hidden, mask), mean(hidden[:, :tokens], mask[:, :tokens]), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", ["mean", "max", "mean_sqrt_len", "weighted_mean"])
def test_pooling_of_no_token_is_zeros_for_the_check_to_catch(name: str) -> None:
    assert POOLINGS[name](np.ones((1, 2, SIZE), np.float32), np.zeros((1, 2), np.int64)).tolist() == [[0.0] * SIZE]


@pytest.mark.parametrize("name", list(POOLINGS))
def test_half_precision_comes_out_as_float32(name: str) -> None:
    pooled = POOLINGS[name](np.ones((2, 4, SIZE), np.float16), np.ones((2, 4), np.int64))
    assert (pooled.dtype, pooled.shape) == (np.float32, (2, SIZE))
