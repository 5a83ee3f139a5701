"""A call that nobody waits for any more counts as work, for a while that is told by how long it had run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from gateway.batching.abandoned import AbandonedCalls
from gateway.batching.limits import SchedulerLimits
from gateway.batching.meter import Meter
from gateway.batching.scheduler import Scheduler
from gateway.errors import DeadlineExceeded
from gateway.telemetry.metrics import build_metrics
from gateway.types import TokenRow
from tests.support.running_service import until
from tests.support.scripted_call import ScriptedCall, row

LIMITS = SchedulerLimits(max_batch_tokens=512, max_queued_tokens=10_000, calls_in_flight=1, recovery_wait_seconds=30)


def late_once(number: int, _rows: Sequence[TokenRow]) -> float:
    if number == 0:
        time.sleep(0.5)
        raise DeadlineExceeded("late")
    return 0.0


async def given_up() -> Scheduler:
    """A scheduler whose one call has just ended by its deadline."""
    target = Scheduler(
        ScriptedCall(late_once), limits=LIMITS, meter=Meter(build_metrics(version="test"), model="scripted")
    )
    with pytest.raises(DeadlineExceeded):
        await target.submit([row(1, 8)], deadline=time.monotonic() + 30)
    await until(lambda: target.idle)
    await asyncio.sleep(0.001)
    assert target.idle_seconds == 0.0
    return target


async def test_it_counts_as_work_until_the_canary_is_answered() -> None:
    target = await given_up()
    target.resume(proved_at=time.monotonic())
    await until(lambda: target.idle_seconds > 0)


async def test_it_counts_as_work_until_any_call_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.batching.abandoned._TIMES_WAITED", 10_000.0)
    target = await given_up()
    await target.submit([row(2, 8)], deadline=time.monotonic() + 30)
    await until(lambda: target.idle_seconds > 0)


async def test_a_real_hang_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.batching.abandoned._LONGEST_SECONDS", 0.1)
    target = await given_up()
    await until(lambda: target.idle_seconds > 0)


def test_it_is_believed_in_for_four_times_its_time_and_ten_minutes_at_most() -> None:
    calls = AbandonedCalls(clock=lambda: 1000.0)
    assert calls.until() <= 1000.0
    calls.add(waited_seconds=30.0)
    assert calls.until() == 1120.0
    calls.add(waited_seconds=1.0)
    assert calls.until() == 1120.0
    calls.add(waited_seconds=3600.0)
    assert calls.until() == 1600.0
    calls.over()
    assert calls.until() <= 1000.0


def test_a_call_whose_callers_left_is_believed_in_for_as_long_as_they_would_have_waited() -> None:
    calls = AbandonedCalls(clock=lambda: 1000.0)
    calls.cancelled(deadline=1300.0)
    assert calls.until() == 1300.0
    calls.cancelled(deadline=1000.0)
    assert calls.until() == 1300.0
    calls.cancelled(deadline=9000.0)
    assert calls.until() == 1600.0
