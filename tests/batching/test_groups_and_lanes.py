"""Rows share a call within their own group and lane only, and neither a group nor a lane is starved."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.batching.cutting import join
from gateway.batching.limits import SchedulerLimits
from gateway.batching.meter import Meter
from gateway.batching.queue import RowQueue
from gateway.batching.scheduler import Scheduler
from gateway.batching.submission import Outcome, Row, Submission
from gateway.telemetry.metrics import build_metrics
from gateway.types import RowGroup, RowOutput, TokenRow
from tests.support.running_service import until
from tests.support.scripted_call import ScriptedCall, row, vector_of

BUDGET = 512
LONG = 100


def scheduler(call: ScriptedCall, *, slots: int = 2, one_row_a_call: bool = False) -> Scheduler:
    call.long_row_tokens = LONG
    limits = SchedulerLimits(
        max_batch_tokens=BUDGET,
        max_queued_tokens=10**6,
        calls_in_flight=slots,
        recovery_wait_seconds=30,
        long_row_tokens=LONG,
        one_row_a_call=one_row_a_call,
    )
    return Scheduler(call, limits=limits, meter=Meter(build_metrics(version="test"), model="scripted"))


async def submit(target: Scheduler, *rows: TokenRow) -> Outcome:
    return await target.submit(rows, deadline=time.monotonic() + 30)


def submission(*rows: TokenRow) -> Submission:
    # Nobody awaits it, and making an event loop for one of asyncio's would take most of a test's time.
    return Submission(rows, deadline=1e9, now=0.0, future=Future())  # type: ignore[arg-type]


def cut(queue: RowQueue, *, may_be_long: bool = True) -> list[Row]:
    seed = queue.take_seed(may_be_long=may_be_long)
    return [] if seed is None else join(seed, queue, max_batch_tokens=BUDGET, call_overhead_tokens=25)


async def test_a_burst_of_five_adapters_goes_in_five_calls() -> None:
    call = ScriptedCall()
    target = scheduler(call)
    rows = [row(number, 8, adapter=number % 5) for number in range(64)]
    outcomes = await asyncio.gather(*(submit(target, one) for one in rows))
    assert [sorted({group.adapter for group in groups}) for groups in call.groups] == [[0], [1], [2], [3], [4]]
    assert sorted(map(len, call.calls)) == [12, 13, 13, 13, 13]
    for one, outcome in zip(rows, outcomes, strict=True):
        np.testing.assert_array_equal(outcome.values, [vector_of(one.ids)])


async def test_rows_of_one_request_may_be_of_several_groups_and_come_back_in_order() -> None:
    rows = [row(number, 8, adapter=number % 3) for number in range(30)]
    outcome = await submit(scheduler(ScriptedCall()), *rows)
    np.testing.assert_array_equal(outcome.values, [vector_of(one.ids) for one in rows])


async def test_one_adapter_and_two_outputs_are_two_groups() -> None:
    call = ScriptedCall()
    ids = np.array([1, 2, 3])
    target = scheduler(call)
    await submit(target, TokenRow(ids), TokenRow(ids, group=RowGroup(output=RowOutput.RAW_VECTOR)), TokenRow(ids))
    assert sorted(map(len, call.calls)) == [1, 2]


async def test_where_a_value_depends_on_its_batch_every_row_goes_alone() -> None:
    call = ScriptedCall()
    await submit(scheduler(call, one_row_a_call=True), *(row(number, 8) for number in range(20)))
    assert [len(one) for one in call.calls] == [1] * 20


def test_a_query_of_another_adapter_is_served_next_during_a_bulk() -> None:
    queue = RowQueue(long_row_tokens=LONG)
    queue.add(submission(*(row(number, 90, adapter=0) for number in range(500))))
    for _ in range(5):
        cut(queue)
    query = submission(row(999, 12, adapter=4))
    queue.add(query)
    assert cut(queue) == query.rows


mixed = st.lists(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 4)), min_size=1, max_size=20), min_size=1, max_size=6
)


@given(mixed, st.integers(16, 600), st.integers(0, 2**32))
def test_cuts_hold_every_row_once_of_one_group_and_lane_within_the_budget(
    bulks: list[list[tuple[int, int]]], budget: int, seed: int
) -> None:
    dice = random.Random(seed)
    queue = RowQueue(long_row_tokens=LONG)
    everything = [submission(*(row(0, length, adapter) for length, adapter in bulk)) for bulk in bulks]
    for one in everything:
        queue.add(one)
    taken: list[Row] = []
    while queue.rows:
        may_be_long = dice.random() < 0.5
        first = queue.take_seed(may_be_long=may_be_long)
        if first is None:
            assert not may_be_long
            assert all(queue.is_long(one) for one in queue.waiting())
            continue
        rows = join(first, queue, max_batch_tokens=budget, call_overhead_tokens=25)
        assert len({one.given.group for one in rows}) == 1
        assert len({one.length > LONG for one in rows}) == 1
        assert may_be_long or rows[0].length <= LONG
        assert len(rows) == 1 or len(rows) * max(one.length for one in rows) <= budget
        taken += rows
    assert sorted(map(id, taken)) == sorted(id(one) for each in everything for one in each.rows)
    assert (queue.rows, queue.tokens, queue.waiting()) == (0, 0, [])


async def test_a_long_row_never_takes_the_last_slot() -> None:
    call = ScriptedCall(held_long=asyncio.Event())
    target = scheduler(call, slots=3)
    long = [asyncio.create_task(submit(target, row(1000 + number, 2000))) for number in range(4)]
    await until(lambda: call.long_under_way == 1)
    await asyncio.gather(*(submit(target, row(number, 50)) for number in range(40)))
    assert call.long_under_way == 1, "the short ones came and went beside it"
    assert call.held_long is not None
    call.held_long.set()
    await asyncio.gather(*long)
    assert call.most_long_under_way == 1


async def test_short_rows_that_wait_are_cut_before_a_long_one() -> None:
    call = ScriptedCall(held=asyncio.Event())
    target = scheduler(call)
    running = [asyncio.create_task(submit(target, row(number, 90))) for number in (1, 2)]
    running[1:] = [asyncio.create_task(submit(target, row(3, 20, adapter=1)))]
    await until(lambda: call.under_way == 2)
    long = asyncio.create_task(submit(target, row(1000, 2000)))
    await asyncio.sleep(0)
    short = [asyncio.create_task(submit(target, row(number, 60, adapter=number))) for number in range(10, 20)]
    await asyncio.sleep(0)
    assert call.held is not None
    call.held.set()
    await asyncio.gather(long, *short, *running)
    assert call.calls[-1] == [1000]


async def test_with_one_slot_a_long_row_is_computed_all_the_same() -> None:
    call = ScriptedCall()
    target = scheduler(call, slots=1)
    await submit(target, row(1, 2000), row(2, 50), row(3, 2000))
    assert sorted(call.calls) == [[1], [2], [3]]


@settings(max_examples=30, deadline=None)
@given(st.integers(LONG + 1, 1000), st.integers(1, 50), st.integers(0, 2**32))
def test_a_long_row_is_not_starved_by_any_number_of_short_requests(length: int, callers: int, seed: int) -> None:
    dice = random.Random(seed)
    queue = RowQueue(long_row_tokens=LONG)
    long = submission(row(0, length))
    queue.add(long)
    passed = 0
    while long.rows[0].waiting:
        while queue.rows <= callers:
            queue.add(submission(row(1, dice.randint(1, LONG), adapter=dice.randrange(5))))
        rows = cut(queue)
        passed += sum(one.length for one in rows if one is not long.rows[0])
        assert passed <= 8 * length + BUDGET


@given(st.integers(1, LONG), st.integers(1, 20))
def test_a_short_row_waits_for_one_long_call_at_most(length: int, callers: int) -> None:
    queue = RowQueue(long_row_tokens=LONG)
    for _ in range(20):
        queue.add(submission(*(row(0, 3000) for _ in range(callers))))
    cut(queue)
    short = submission(row(1, length))
    queue.add(short)
    assert any(one is short.rows[0] for _ in range(2) for one in cut(queue))


@given(st.lists(st.integers(1, 8), min_size=1, max_size=60))
def test_the_long_lane_keeps_its_order_of_fair_turns(flows: Sequence[int]) -> None:
    queue = RowQueue(long_row_tokens=LONG)
    everything = [submission(*(row(0, 1000 + flow) for _ in range(flow))) for flow in flows]
    for one in everything:
        queue.add(one)
    served = [cut(queue)[0] for _ in range(sum(flows))]
    assert [one.tag for one in served] == sorted(one.tag for one in served)


def test_a_lost_long_call_keeps_its_lane() -> None:
    queue = RowQueue(long_row_tokens=LONG)
    queue.add(submission(row(1, 2000)))
    lost = queue.take_seed()
    assert lost is not None
    queue.put_back(lost)
    assert queue.take_seed(may_be_long=False) is None
    assert queue.take_seed() is lost
