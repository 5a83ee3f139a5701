"""Loads one after the other, as one."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.interference import MOST_ROUNDS, Disturbed, disturbed_loads, joined
from gateway.bench.measurement import Load
from gateway.bench.workloads import quick_plan
from tests.bench.servers import answered, embeddings, scripted

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
    figures = Disturbed(idle, Load(800, 2.0), slow, Load(640, 2.0, [1.0])).figures()
    assert figures["p99_over_idle"] == pytest.approx(4.0)
    assert figures["latency_p50_ms"] == pytest.approx(40.0)
    assert figures["idle_p99_ms"] == pytest.approx(10.0)
    assert figures["texts_per_second"] == pytest.approx(320.0)
    assert figures["bulk_over_alone"] == pytest.approx(0.8)


def test_of_too_few_queries_there_is_no_ratio() -> None:
    few = Load(3, 1.0, [0.01] * 3)
    assert "p99_over_idle" not in Disturbed(few, few, few, few).figures()


def test_of_bulk_requests_that_were_never_answered_there_is_no_share() -> None:
    some, none = Load(3, 1.0, [0.01] * 3), Load(0, 1.0)
    assert "bulk_over_alone" not in Disturbed(some, none, some, some).figures()


async def test_queries_go_on_until_enough_met_bulk_requests_or_the_rounds_are_over() -> None:
    async def answer(_number: int, texts: list[str]) -> bytes:
        await asyncio.sleep(0.001 if len(texts) == 1 else 0.02)
        return answered(embeddings(texts))

    plan = dataclasses.replace(quick_plan([], repeats=1, seconds=0.05, limit_seconds=60), bulk_texts=4)
    async with scripted(answer) as (_, target):
        endless = await disturbed_loads(target, dataclasses.replace(plan, singles=10**6))
        enough = await disturbed_loads(target, dataclasses.replace(plan, singles=1))
    assert len(endless.bulk.latencies) >= MOST_ROUNDS
    for found in (endless, enough):
        assert min(found.idle.texts, found.alone.texts, found.disturbed.texts, found.bulk.texts) > 0
    assert endless.bulk.texts > enough.bulk.texts
