"""Percentiles and medians, against the standard library's."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.spread import LEAST_ANSWERS, latency_figures, percentile, spread_of

SECONDS = st.floats(min_value=0, max_value=1e4, allow_nan=False)


@given(st.lists(SECONDS, min_size=2, max_size=200))
def test_percentiles_are_those_of_the_standard_library(values: list[float]) -> None:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    for percent in LEAST_ANSWERS:
        assert percentile(values, percent) == pytest.approx(cuts[percent - 1], abs=1e-9)


@given(st.lists(SECONDS, min_size=1, max_size=50))
def test_a_spread_holds_its_median(values: list[float]) -> None:
    found = spread_of(values)
    assert (found.lowest, found.highest) == (sorted(values)[0], sorted(values)[-1])
    assert found.lowest <= found.median <= found.highest
    assert sum(value < found.median for value in values) <= len(values) / 2
    assert sum(value > found.median for value in values) <= len(values) / 2


def test_nothing_has_no_median() -> None:
    with pytest.raises(ValueError, match="no value"):
        spread_of([])


@given(st.integers(0, 30))
def test_a_percentile_of_too_few_answers_is_not_given(count: int) -> None:
    found = latency_figures([0.002] * count)
    assert set(found) == {f"latency_p{percent}_ms" for percent, least in LEAST_ANSWERS.items() if count >= least}
    assert all(value == pytest.approx(2.0) for value in found.values())
