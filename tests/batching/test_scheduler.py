"""The scheduler's promises about concurrency, each against a scripted model call."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.batching.call import CallResult
from gateway.batching.meter import Meter
from gateway.batching.scheduler import Scheduler
from gateway.batching.submission import Outcome
from gateway.errors import (
    BackendProcessDied,
    DeadlineExceeded,
    EngineUnavailable,
    GatewayError,
    InferenceFailed,
    InvalidVector,
    Overloaded,
)
from gateway.telemetry.metrics import build_metrics
from gateway.types import TokenRow
from tests.support.running_service import until
from tests.support.scripted_call import ScriptedCall, row, vector_of
from tests.support.scripted_scheduler import LIMITS, expected, keep_resuming, scheduler, submit


async def test_rows_come_back_in_order() -> None:
    specs = [(number, random.Random(number).randint(1, 200)) for number in range(300)]
    outcome = await submit(scheduler(ScriptedCall()), *specs)
    np.testing.assert_array_equal(outcome.values, expected([row(*spec) for spec in specs]))


async def test_an_idle_scheduler_sends_a_row_at_once_and_queries_that_arrive_together_go_together() -> None:
    call = ScriptedCall()
    target = scheduler(call)
    await submit(target, (1, 10))
    await asyncio.gather(*(submit(target, (number, 10)) for number in range(2, 12)))
    assert [len(ids) for ids in call.calls] == [1, 10]


async def test_calls_under_way_stay_within_their_limit() -> None:
    call = ScriptedCall(lambda number, rows: 0.001)
    await submit(scheduler(call, calls_in_flight=3), *((number, 500) for number in range(20)))
    assert call.most_under_way == 3


async def test_the_end_of_a_bulk_goes_in_ever_smaller_calls() -> None:
    """Two compute side by side: both end with half of what one full call would have been."""
    call = ScriptedCall(held=asyncio.Event())
    sent = asyncio.create_task(submit(scheduler(call, calls_in_flight=3), *[(number, 8) for number in range(64)]))
    await until(lambda: call.under_way == 3)
    assert call.held is not None
    call.held.set()
    await sent
    assert list(map(len, call.calls)) == [32, 16, 16]


async def test_what_the_engine_pads_to_the_same_block_goes_together_at_its_own_length() -> None:
    """Of 1 to 40 tokens each call holds those of one block of 16, where without blocks 40 lengths make more calls."""
    lengths = [1 + number % 40 for number in range(160)]
    found = {}
    for block_tokens in (1, 16):
        call = ScriptedCall()
        target = scheduler(call, block_tokens=block_tokens, max_batch_tokens=1024)
        outcome = await submit(target, *enumerate(lengths))
        np.testing.assert_array_equal(outcome.values, expected([row(*spec) for spec in enumerate(lengths)]))
        assert sorted(chain(*call.lengths)) == sorted(lengths), "rows are sent as they are"
        found[block_tokens] = [{-(-length // 16) for length in sent} for sent in call.lengths]
    assert all(len(blocks) == 1 for blocks in found[16])
    # 1,024 tokens, then the smaller calls that a bulk ends with.
    assert len(found[16]) < len(found[1])


async def test_limits_count_a_row_s_own_tokens_whatever_the_engine_adds() -> None:
    call = ScriptedCall(held=asyncio.Event())
    target = scheduler(call, block_tokens=16, max_queued_tokens=200, calls_in_flight=1)
    under_way = asyncio.create_task(submit(target, (0, 500)))
    await until(lambda: call.under_way == 1)
    waiting = [asyncio.create_task(submit(target, *[(number, 2) for number in range(49)])) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await submit(target, (1, 5))
    assert call.held is not None
    call.held.set()
    await asyncio.gather(under_way, *waiting)


async def test_what_the_engine_adds_counts_as_padding() -> None:
    metrics = build_metrics(version="test")
    limits = replace(LIMITS, block_tokens=16)
    target = Scheduler(ScriptedCall(), limits=limits, meter=Meter(metrics, model="scripted"))
    await submit(target, (1, 17), (2, 20), (3, 32))
    await asyncio.sleep(0)  # metrics are counted behind the answer
    counted = {
        sample.name: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.endswith("_tokens_total")
    }
    assert (counted["gateway_real_tokens_total"], counted["gateway_padded_tokens_total"]) == (17 + 20 + 32, 3 * 32)


async def test_a_query_overtakes_a_bulk() -> None:
    call = ScriptedCall(held=asyncio.Event())
    target = scheduler(call)
    bulk = asyncio.create_task(submit(target, *((number, 250) for number in range(100))))
    await until(lambda: call.under_way == LIMITS.calls_in_flight)
    sent = len(call.calls)
    query = asyncio.create_task(submit(target, (9999, 10)))
    await asyncio.sleep(0)  # it is in line now
    assert call.held is not None
    call.held.set()
    await query
    assert not bulk.done()
    assert call.calls[sent] == [9999], "the next call that is cut"
    await bulk


async def test_a_poison_row_fails_alone() -> None:
    def script(number: int, rows: Sequence[TokenRow]) -> float:
        if any(one.ids[0] == 13 for one in rows):
            raise InferenceFailed("poison")
        return 0.0

    call = ScriptedCall(script)
    target = scheduler(call)
    results = await asyncio.gather(*(submit(target, (number, 10)) for number in range(40)), return_exceptions=True)
    for number, result in enumerate(results):
        if number == 13:
            assert isinstance(result, InferenceFailed)
        else:
            assert isinstance(result, Outcome)
            np.testing.assert_array_equal(result.values, [vector_of(row(number, 10).ids)])
    assert len(call.calls) <= 1 + 2 * 6


async def test_an_invalid_vector_fails_its_own_row_only() -> None:
    class Poisoned(ScriptedCall):
        async def __call__(
            self, rows: Sequence[TokenRow], *, timeout_seconds: float, urgent: bool = False
        ) -> CallResult:
            result = await super().__call__(rows, timeout_seconds=timeout_seconds)
            bad = {place: InvalidVector("NaN") for place, one in enumerate(rows) if one.ids[0] == 3}
            return CallResult(result.values, bad)

    call = Poisoned()
    target = scheduler(call)
    results = await asyncio.gather(*(submit(target, (number, 10)) for number in range(6)), return_exceptions=True)
    assert [isinstance(result, InvalidVector) for result in results] == [number == 3 for number in range(6)]
    assert len(call.calls) == 1


async def test_an_unexpected_exception_fails_its_rows_and_the_scheduler_goes_on() -> None:
    def script(number: int, rows: Sequence[TokenRow]) -> float:
        if number == 0:
            raise ZeroDivisionError
        return 0.0

    target = scheduler(ScriptedCall(script))
    with pytest.raises(InferenceFailed, match="ZeroDivisionError"):
        await submit(target, (1, 10))
    await submit(target, (2, 10))


async def test_rows_of_a_caller_who_left_are_never_sent() -> None:
    call = ScriptedCall(held=asyncio.Event())
    target = scheduler(call, calls_in_flight=1)
    first = asyncio.create_task(submit(target, (1, 400)))
    await until(lambda: call.under_way == 1)
    gone = asyncio.create_task(submit(target, *((number, 400) for number in range(100, 110))))
    stays = asyncio.create_task(submit(target, (2, 400)))
    await asyncio.sleep(0)  # both are in line now
    gone.cancel()
    assert call.held is not None
    call.held.set()
    await asyncio.gather(first, stays)
    assert call.calls == [[1], [2]]
    assert target.idle


async def test_a_row_past_its_deadline_fails_and_is_not_sent() -> None:
    call = ScriptedCall(lambda number, rows: 0.1)
    target = scheduler(call, calls_in_flight=1)
    first = asyncio.create_task(submit(target, (1, 400)))
    await asyncio.sleep(0.005)
    with pytest.raises(DeadlineExceeded):
        await submit(target, (2, 400), seconds=0.02)
    with pytest.raises(DeadlineExceeded):
        await submit(target, (3, 400), seconds=-1)
    await first
    assert call.calls == [[1]]


async def test_overload_refuses_single_rows_and_batches_alike_but_an_empty_queue_takes_anything() -> None:
    release = asyncio.Event()
    call = ScriptedCall(held=release)
    target = scheduler(call, max_queued_tokens=1000, calls_in_flight=1)
    huge = asyncio.create_task(submit(target, *((number, 500) for number in range(10))))
    await until(lambda: call.under_way == 1)
    with pytest.raises(Overloaded) as refused:
        await submit(target, (100, 1))
    assert refused.value.retry_after_seconds >= 1
    with pytest.raises(Overloaded):
        await submit(target, *((number, 1) for number in range(100, 104)))
    release.set()
    await huge


async def test_closing_answers_everybody() -> None:
    target = scheduler(ScriptedCall(lambda number, rows: 3600.0))
    waiting = [asyncio.create_task(submit(target, (number, 400))) for number in range(6)]
    await asyncio.sleep(0.01)
    await target.close()
    assert all(isinstance(one, EngineUnavailable) for one in await asyncio.gather(*waiting, return_exceptions=True))
    with pytest.raises(EngineUnavailable):
        await submit(target, (9, 10))


async def test_a_closed_scheduler_says_why() -> None:
    target = scheduler(ScriptedCall())
    await target.close("The model was unloaded.")
    with pytest.raises(EngineUnavailable, match="was unloaded"):
        await submit(target, (9, 10))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32),
    budget=st.integers(16, 600),
    slots=st.integers(1, 4),
    adapters=st.integers(1, 5),
    long_row_tokens=st.integers(20, 150),
)
def test_every_caller_gets_its_own_rows_or_a_known_error(
    seed: int, budget: int, slots: int, adapters: int, long_row_tokens: int
) -> None:
    asyncio.run(_chaos(random.Random(seed), budget, slots, adapters, long_row_tokens))


async def _chaos(dice: random.Random, budget: int, slots: int, adapters: int, long_row_tokens: int) -> None:
    poison = set(dice.sample(range(200), 5))

    def script(number: int, rows: Sequence[TokenRow]) -> float:
        if any(int(one.ids[0]) in poison for one in rows):
            raise InferenceFailed("poison")
        fate = dice.random()
        if fate < 0.05:
            raise EngineUnavailable("gone")
        if fate < 0.08:
            raise BackendProcessDied("died")
        if fate < 0.10:
            raise ValueError("a fault nobody thought of")
        return dice.choice([0.0, 0.0005, 0.002])

    call = ScriptedCall(script, long_row_tokens=long_row_tokens)
    target = scheduler(
        call,
        max_batch_tokens=budget,
        calls_in_flight=slots,
        recovery_wait_seconds=0.05,
        long_row_tokens=long_row_tokens,
    )
    ids = iter(range(200))
    groups: list[list[tuple[int, int, int]]] = []
    while some := _some(ids, dice.randint(1, 30)):
        groups.append([(number, dice.randint(1, 100), dice.randrange(adapters)) for number in some])

    async def caller(group: list[tuple[int, int, int]]) -> Outcome:
        await asyncio.sleep(dice.choice([0.0, 0.001, 0.003]))
        return await submit(target, *group, seconds=dice.choice([5.0, 5.0, 0.002]))

    tasks = [asyncio.create_task(caller(group)) for group in groups]
    healer = asyncio.create_task(keep_resuming(target))
    for task in tasks:
        if dice.random() < 0.2:
            asyncio.get_running_loop().call_later(dice.random() * 0.004, task.cancel)
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tasks, return_exceptions=True)
        while not target.idle:  # noqa: ASYNC110 - the scheduler has no event for it, and needs none
            await asyncio.sleep(0.001)
    healer.cancel()
    for group, result in zip(groups, results, strict=True):
        if isinstance(result, Outcome):
            np.testing.assert_array_equal(result.values, expected([row(*spec) for spec in group]))
            assert not poison & {number for number, _, _ in group}
        else:
            assert isinstance(result, GatewayError | asyncio.CancelledError), result
    assert call.most_under_way <= slots
    assert call.most_long_under_way <= 1
    assert all(len(group) == 1 for group in call.groups)
    assert all(len({length > long_row_tokens for length in lengths}) == 1 for lengths in call.lengths)
    assert all(len(lengths) == 1 or len(lengths) * max(lengths) <= budget for lengths in call.lengths)
    await target.close()


def _some(ids: object, count: int) -> list[int]:
    return [number for number, _ in zip(ids, range(count))]  # type: ignore[call-overload]  # noqa: B905
