"""Pooling and normalisation, beside NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.python_backend import pooling
from gateway.python_backend.pooling import SLICE_TOKENS, mean_vectors, span_sum, token_vectors


def states(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


@given(
    ranges=st.lists(st.tuples(st.integers(0, 19), st.integers(1, 20)).map(lambda r: (r[0], r[0] + r[1])), min_size=1)
)
@settings(max_examples=30)
def test_means_are_over_their_range_and_of_unit_length(ranges: list[tuple[int, int]]) -> None:
    values = states(len(ranges), 40, 8)
    made = mean_vectors(values, ranges).numpy()
    for row, (start, end) in enumerate(ranges):
        np.testing.assert_allclose(made[row], unit(values[row, start:end].double().mean(0).numpy()), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_left_before_anything_is_added_up(dtype: torch.dtype) -> None:
    values = states(2, 3000, 64, dtype=dtype) + 3
    made = mean_vectors(values, [(0, 3000), (5, 2000)]).numpy()
    assert made.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-6)
    for row, (start, end) in enumerate([(0, 3000), (5, 2000)]):
        np.testing.assert_allclose(made[row], unit(values[row, start:end].double().mean(0).numpy()), atol=1e-6)


@pytest.mark.parametrize("tokens", [1, SLICE_TOKENS - 1, SLICE_TOKENS, SLICE_TOKENS + 1, 3 * SLICE_TOKENS + 7])
def test_slices_leave_nothing_out(tokens: int) -> None:
    values = states(tokens + 5, 4)
    np.testing.assert_allclose(
        span_sum(values, 2, tokens + 2), values[2 : tokens + 2].double().sum(0), rtol=1e-5, atol=1e-3
    )


def test_no_slice_of_a_long_row_is_longer_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 exists for one slice at a time."""
    seen = []

    def projector(part: torch.Tensor) -> torch.Tensor:
        seen.append(part.shape[0] * part.shape[1])
        return part

    monkeypatch.setattr(pooling, "SLICE_TOKENS", 64)
    values = states(3, 100, 8)
    np.testing.assert_allclose(token_vectors(values, projector), unit(values.numpy()), atol=1e-6)
    assert max(seen) <= 64
    assert sum(seen) == 300


def test_token_vectors_are_normalised_in_float32() -> None:
    values = states(2, 50, 16, dtype=torch.bfloat16)
    made = token_vectors(values, lambda part: part)
    assert made.dtype == torch.float32
    np.testing.assert_allclose(made.norm(dim=-1), 1, atol=1e-6)


def test_a_row_of_nan_stays_one_and_harms_no_other() -> None:
    values = states(2, 10, 4)
    values[0, 3, 1] = float("nan")
    made = mean_vectors(values, [(0, 10), (0, 10)])
    assert made[0].isnan().any()
    assert not made[1].isnan().any()
