"""How much of what is computed is padding, over the lengths that texts usually have."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.batching.call import CallResult
from gateway.batching.limits import SchedulerLimits
from gateway.batching.meter import Meter
from gateway.batching.scheduler import Scheduler
from gateway.telemetry.metrics import build_metrics
from gateway.types import TokenRow
from tests.support.scripted_call import row, vector_of
from tests.support.virtual_time import VirtualLoop

TOKEN_SECONDS, CALL_SECONDS = 5e-5, 1.4e-3


class Sums:
    """Implements `gateway.batching.call.ModelCall`: takes the time that a core would, and adds up what it is given."""

    def __init__(self) -> None:
        self.real = self.padded = 0

    async def __call__(self, rows: Sequence[TokenRow], *, timeout_seconds: float, urgent: bool = False) -> CallResult:
        lengths = [len(one.ids) for one in rows]
        self.real += sum(lengths)
        self.padded += len(lengths) * max(lengths)
        await asyncio.sleep(CALL_SECONDS + TOKEN_SECONDS * len(lengths) * max(lengths))
        return CallResult([vector_of(one.ids) for one in rows])


def usual_lengths(seed: int, count: int) -> list[int]:
    """Log-normal: half of them up to 36 tokens, one in a hundred from some 290."""
    drawn = np.random.default_rng(seed).lognormal(np.log(36), 0.9, count)
    return [int(one) for one in np.clip(drawn, 3, 512)]


def padding(budget: int, requests: Sequence[Sequence[int]], *, clients: int) -> float:
    """Computed tokens over real ones where so many clients send these requests, each one's next after an answer."""
    loop = VirtualLoop()
    call = Sums()
    limits = SchedulerLimits(
        max_batch_tokens=budget,
        max_queued_tokens=10**9,
        calls_in_flight=3,
        recovery_wait_seconds=1.0,
        long_row_tokens=2048,
        interactive_tokens=budget,
        urgent_beside_others=True,
    )
    meter = Meter(build_metrics(version="test"), model="scripted")
    scheduler = Scheduler(call, limits=limits, meter=meter, clock=loop.time)
    waiting = iter(requests)

    async def client() -> None:
        for lengths in waiting:
            await scheduler.submit([row(0, length) for length in lengths], deadline=loop.time() + 1e6)

    async def all_of_them() -> None:
        await asyncio.gather(*(client() for _ in range(clients)))

    try:
        loop.run(all_of_them())
    finally:
        loop.close()
    return call.padded / call.real


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32), budget=st.sampled_from([256, 512]))
def test_a_bulk_is_padded_by_five_per_cent_at_most(seed: int, budget: int) -> None:
    assert padding(budget, [usual_lengths(seed, 2048)], clients=1) <= 1.05


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32), budget=st.sampled_from([256, 512]))
def test_single_texts_of_sixty_four_clients_are_padded_by_a_quarter_at_most(seed: int, budget: int) -> None:
    assert padding(budget, [[length] for length in usual_lengths(seed, 1500)], clients=64) <= 1.25


@pytest.mark.parametrize("budget", [256, 512])
def test_mixed_requests_of_a_few_clients_are_padded_by_a_quarter_at_most(budget: int) -> None:
    sizes = np.random.default_rng(5).integers(1, 17, 200)
    lengths = iter(usual_lengths(6, int(sizes.sum())))
    requests = [[next(lengths) for _ in range(size)] for size in sizes]
    assert padding(budget, requests, clients=8) <= 1.25
