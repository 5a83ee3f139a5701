"""Loads one after the other, as one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.interference import Disturbed, joined
from gateway.bench.measurement import Load

LOADS = st.lists(
    st.builds(
        Load,
        texts=st.integers(0, 99),
        seconds=st.floats(0.1, 9),
        latencies=st.lists(st.floats(0, 9), max_size=4),
        errors=st.integers(0, 9),
    ),
    min_size=1,
    max_size=5,
)


@given(LOADS)
def test_nothing_is_lost_when_loads_are_joined(loads: list[Load]) -> None:
    found = joined(loads)
    assert found.texts == sum(load.texts for load in loads)
    assert found.errors == sum(load.errors for load in loads)
    assert found.seconds == pytest.approx(sum(load.seconds for load in loads))
    assert sorted(found.latencies) == sorted(latency for load in loads for latency in load.latencies)


def test_what_bulk_requests_do_is_the_ratio_of_the_two_percentiles() -> None:
    idle, slow = Load(20, 1.0, [0.01] * 20), Load(20, 1.0, [0.04] * 20)
    figures = Disturbed(idle, slow, Load(640, 2.0, [1.0])).figures()
    assert figures["p99_over_idle"] == pytest.approx(4.0)
    assert figures["latency_p50_ms"] == pytest.approx(40.0)
    assert figures["idle_p99_ms"] == pytest.approx(10.0)
    assert figures["texts_per_second"] == pytest.approx(320.0)


def test_of_too_few_queries_there_is_no_ratio() -> None:
    few = Load(3, 1.0, [0.01] * 3)
    assert "p99_over_idle" not in Disturbed(few, few, few).figures()
