"""The schedule of an open loop is a Poisson process, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.arrivals import MAX_ARRIVALS, poisson_arrivals

RATES = st.floats(min_value=0.01, max_value=5e3)
TIMES = st.floats(min_value=0.01, max_value=60)
SEEDS = st.integers(0, 2**31)


@given(RATES, TIMES, SEEDS)
def test_arrivals_rise_within_the_time_and_are_reproducible(rate: float, seconds: float, seed: int) -> None:
    arrivals = poisson_arrivals(rate, seconds=seconds, seed=seed)
    assert len(arrivals) <= MAX_ARRIVALS
    assert ((arrivals > 0) & (arrivals < seconds)).all()
    assert (np.diff(arrivals) >= 0).all()
    assert np.array_equal(arrivals, poisson_arrivals(rate, seconds=seconds, seed=seed))


@given(SEEDS)
def test_counts_and_gaps_are_those_of_a_poisson_process(seed: int) -> None:
    arrivals = poisson_arrivals(400, seconds=25, seed=seed)
    # Mean and variance of a count of 10,000 are equal; five deviations are one seed in a million.
    assert abs(len(arrivals) - 10_000) < 5 * 100
    assert arrivals[-1] > 24.9, "the schedule ends before the time does"
    gaps = np.diff(arrivals)
    # Exponential gaps deviate by their mean: even ones by nothing, those of bursts by more.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)


def test_different_seeds_give_different_schedules() -> None:
    assert not np.array_equal(poisson_arrivals(10, seconds=5, seed=1), poisson_arrivals(10, seconds=5, seed=2))


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (-1, 1), (1, 0), (float("nan"), 1)])
def test_no_rate_or_time_is_refused(rate: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        poisson_arrivals(rate, seconds=seconds, seed=0)
