"""A scheduler over a scripted model call, and what its callers are to get."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from gateway.batching.limits import SchedulerLimits
from gateway.batching.meter import Meter
from gateway.batching.scheduler import Scheduler
from gateway.batching.submission import Outcome
from gateway.telemetry.metrics import build_metrics
from tests.support.scripted_call import ScriptedCall, row, vector_of

LIMITS = SchedulerLimits(max_batch_tokens=512, max_queued_tokens=100_000, calls_in_flight=2, recovery_wait_seconds=30)


def scheduler(call: ScriptedCall, **changed: float) -> Scheduler:
    limits = SchedulerLimits(**{**{name: getattr(LIMITS, name) for name in LIMITS.__slots__}, **changed})
    return Scheduler(call, limits=limits, meter=Meter(build_metrics(version="test"), model="scripted"))


def soon(seconds: float = 30.0) -> float:
    return time.monotonic() + seconds


def expected(rows: Sequence[object]) -> np.ndarray:
    return np.stack([vector_of(one.ids) for one in rows])  # type: ignore[attr-defined]


async def submit(target: Scheduler, *specs: tuple[int, ...], seconds: float = 30.0) -> Outcome:
    return await target.submit([row(*spec) for spec in specs], deadline=soon(seconds))


async def keep_resuming(target: Scheduler) -> None:
    """An engine that is back at once after every loss. Runs until cancelled."""
    while True:
        await asyncio.sleep(0.002)
        target.resume(proved_at=time.monotonic())
