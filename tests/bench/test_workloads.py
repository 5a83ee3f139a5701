"""The loads are the same every time, and of the shapes that they are described by."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.bench.texts import mixed_length, short_queries
from gateway.bench.workloads import CLOSED, DESCRIPTIONS, Plan, Workload, closed_load, full_plan, quick_plan

FULL = full_plan(list(Workload), repeats=5, seconds=4.0, limit_seconds=60.0)
QUICK = quick_plan(list(Workload), repeats=2, seconds=1.0, limit_seconds=60.0)


def test_every_workload_is_described() -> None:
    assert set(DESCRIPTIONS) == set(Workload)


@pytest.mark.parametrize("plan", [FULL, QUICK], ids=["full", "quick"])
@pytest.mark.parametrize("workload", CLOSED)
def test_loads_are_reproducible_and_no_request_is_empty(workload: Workload, plan: Plan) -> None:
    load = closed_load(workload, plan)
    assert load == closed_load(workload, plan)
    assert all(request and all(request) for request in load.requests)
    assert load.clients == {Workload.MANY: 64, Workload.MIXED: 4, Workload.DUPLICATES: 4}.get(workload, 1)


def test_shapes() -> None:
    assert {len(request) for request in closed_load(Workload.MANY, FULL).requests} == {1}
    assert {len(request) for request in closed_load(Workload.BULK, FULL).requests} == {256}
    assert {len(text.split()) for text in closed_load(Workload.LONG, FULL).texts} == {200}
    sizes = [len(request) for request in closed_load(Workload.MIXED, FULL).requests]
    assert sizes[:8] == [1, 2, 4, 8, 16, 32, 64, 1]
    assert sum(sizes) == 1024


def test_half_of_the_duplicates_are_asked_for_elsewhere_too() -> None:
    counts = Counter(closed_load(Workload.DUPLICATES, FULL).texts)
    repeated = {text: count for text, count in counts.items() if count > 1}
    assert sum(repeated.values()) == pytest.approx(counts.total() / 2, abs=2)
    assert len(repeated) == 32


def test_duplicates_of_another_repeat_share_what_all_ask_for_and_nothing_else() -> None:
    """Otherwise who keeps vectors would have kept all of them from the repeat before."""
    first, second = (set(closed_load(Workload.DUPLICATES, FULL, repeat=repeat).texts) for repeat in (0, 1))
    assert len(first & second) == 32
    assert closed_load(Workload.BULK, FULL, repeat=1) == closed_load(Workload.BULK, FULL)


@pytest.mark.parametrize("workload", sorted(set(Workload) - set(CLOSED), key=lambda one: one.value))
def test_the_others_are_no_closed_loops(workload: Workload) -> None:
    with pytest.raises(ValueError, match="no closed loop"):
        closed_load(workload, FULL)


def test_texts_are_those_that_dated_results_were_measured_with() -> None:
    assert short_queries(1, seed=99) == ["most both back they made query request server should said years how"]
    assert mixed_length(1, seed=1)[0].startswith("both language a have might document been said since then")
