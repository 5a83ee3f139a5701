"""What becomes of rows when the engine goes away under them, and when it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np
import pytest

from gateway.batching.call import CallResult
from gateway.batching.meter import Meter
from gateway.batching.scheduler import Scheduler
from gateway.errors import (
    BackendProcessDied,
    EngineUnavailable,
    InferenceFailed,
)
from gateway.telemetry.metrics import build_metrics
from gateway.types import TokenRow
from tests.support.scripted_call import ScriptedCall, row
from tests.support.scripted_scheduler import LIMITS, expected, keep_resuming, scheduler, submit


@pytest.mark.parametrize("error", [EngineUnavailable("gone"), BackendProcessDied("died")])
async def test_rows_of_a_lost_call_are_sent_once_more_after_the_engine_is_back(error: EngineUnavailable) -> None:
    def script(number: int, rows: Sequence[TokenRow]) -> float:
        if number == 0:
            raise error
        return 0.0

    call = ScriptedCall(script)
    seen: list[EngineUnavailable] = []
    target = Scheduler(
        call, limits=LIMITS, meter=Meter(build_metrics(version="test"), model="scripted"), on_outage=seen.append
    )
    caught = asyncio.create_task(submit(target, (1, 10), (2, 10)))
    await asyncio.sleep(0.02)
    with pytest.raises(type(error)) as refused:
        await submit(target, (3, 10))
    assert refused.value.retry_after_seconds == 1
    assert seen == [error]
    target.resume(proved_at=time.monotonic() - 10)
    await asyncio.sleep(0.01)
    assert len(call.calls) == 1, "proof from before the outage must not end it"
    target.resume(proved_at=time.monotonic())
    outcome = await caught
    np.testing.assert_array_equal(outcome.values, expected([row(1, 10), row(2, 10)]))
    alone = isinstance(error, BackendProcessDied)
    assert call.calls[1:] == ([[1], [2]] if alone else [[1, 2]])


async def test_rows_are_retried_only_once() -> None:
    def script(number: int, rows: Sequence[TokenRow]) -> float:
        raise EngineUnavailable("gone")

    call = ScriptedCall(script)
    target = scheduler(call, recovery_wait_seconds=60)
    caught = asyncio.create_task(submit(target, (1, 10)))
    healer = asyncio.create_task(keep_resuming(target))
    async with asyncio.timeout(5):
        with pytest.raises(EngineUnavailable):
            await caught
    healer.cancel()
    assert len(call.calls) == 2


async def test_rows_wait_for_recovery_only_so_long() -> None:
    def script(number: int, rows: Sequence[TokenRow]) -> float:
        raise EngineUnavailable("gone")

    target = scheduler(ScriptedCall(script), recovery_wait_seconds=0.03)
    async with asyncio.timeout(5):
        with pytest.raises(EngineUnavailable):
            await submit(target, (1, 10))
    assert target.outage is not None


async def test_suspending_gives_up_calls_that_hang_and_keeps_their_rows() -> None:
    call = ScriptedCall(lambda number, rows: 3600.0 if number == 0 else 0.0)
    target = scheduler(call)
    caught = asyncio.create_task(submit(target, (1, 10)))
    await asyncio.sleep(0.01)
    target.suspend(EngineUnavailable("no answer"))
    await asyncio.sleep(0.01)
    assert call.under_way == 0
    target.resume(proved_at=time.monotonic())
    await caught
    assert call.calls == [[1], [1]]


async def test_suspending_does_not_compute_isolated_rows_twice() -> None:
    def script(number: int, rows: Sequence[TokenRow]) -> float:
        if number == 0:
            raise InferenceFailed("halve me")
        return 3600.0 if number == 2 else 0.0

    call = ScriptedCall(script)
    target = scheduler(call)
    caught = asyncio.create_task(submit(target, (1, 10), (2, 10)))
    await asyncio.sleep(0.02)
    target.suspend(EngineUnavailable("no answer"))
    target.resume(proved_at=time.monotonic())
    outcome = await caught
    assert call.calls == [[1, 2], [1], [2], [2]]
    np.testing.assert_array_equal(outcome.values, expected([row(1, 10), row(2, 10)]))


async def test_suspending_in_the_turn_in_which_a_call_was_lost_does_not_cost_its_retry() -> None:
    fate = asyncio.get_running_loop().create_future()

    class LostInTime(ScriptedCall):
        async def __call__(
            self, rows: Sequence[TokenRow], *, timeout_seconds: float, urgent: bool = False
        ) -> CallResult:
            result = await super().__call__(rows, timeout_seconds=timeout_seconds)
            return await fate if len(self.calls) == 1 else result

    call = LostInTime()
    target = scheduler(call)
    caught = asyncio.create_task(submit(target, (1, 10)))
    await asyncio.sleep(0.01)
    fate.set_exception(EngineUnavailable("gone"))
    asyncio.get_running_loop().call_soon(target.suspend, EngineUnavailable("gone"))
    await asyncio.sleep(0.01)
    target.resume(proved_at=time.monotonic())
    np.testing.assert_array_equal((await caught).values, expected([row(1, 10)]))
    assert call.calls == [[1], [1]]


async def test_a_call_lost_while_it_is_halved_is_lost_once() -> None:
    def script(number: int, rows: Sequence[TokenRow]) -> float:
        if number == 0:
            raise InferenceFailed("halve me")
        if number == 1:
            raise EngineUnavailable("gone")
        return 3600.0 if [int(one.ids[0]) for one in rows] == [2] else 0.0

    call = ScriptedCall(script)
    target = scheduler(call)
    callers = [asyncio.create_task(submit(target, (number, 10))) for number in (1, 2)]
    await asyncio.sleep(0.01)
    target.suspend(EngineUnavailable("no answer"))
    target.resume(proved_at=time.monotonic())
    async with asyncio.timeout(5):
        await asyncio.gather(*callers)
    assert call.calls == [[1, 2], [1], [1, 2]]


async def test_an_outage_is_told_as_what_it_is_to_those_who_come_later() -> None:
    target = scheduler(ScriptedCall())
    target.suspend(EngineUnavailable("wrong vectors", code="model_unhealthy", retry_after_seconds=7))
    with pytest.raises(EngineUnavailable, match="wrong vectors") as refused:
        await submit(target, (1, 10))
    assert (refused.value.code, refused.value.retry_after_seconds) == ("model_unhealthy", 7)


async def test_a_scheduler_in_an_outage_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    target = scheduler(ScriptedCall(), recovery_wait_seconds=0.0)
    loop = asyncio.get_running_loop()
    timers: list[object] = []
    call_later = loop.call_later
    monkeypatch.setattr(loop, "call_later", lambda *given: timers.append(given) or call_later(*given))
    target.suspend(EngineUnavailable("gone"))
    await asyncio.sleep(0.05)
    assert len(timers) <= 2, "the recovery wait and this test's own sleep"
