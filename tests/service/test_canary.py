"""The canary's wait: given up by others, ended from outside, and never the one taken for the other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from gateway.batching.call import CallResult
from gateway.errors import EngineUnavailable
from gateway.service.canary import Canary
from gateway.types import TokenRow


async def never(rows: Sequence[TokenRow], *, timeout_seconds: float, urgent: bool = False) -> CallResult:
    await asyncio.sleep(3600)
    raise AssertionError


def proving() -> tuple[Canary, asyncio.Task[None]]:
    async def live() -> bool:
        return True

    canary = Canary(expected=(1.0,), tolerance=1e-3, row=TokenRow(np.array([1, 2], dtype=np.int64)), call=never)
    proof = canary.prove(silent=lambda _: None, is_live=lambda: asyncio.ensure_future(live()))
    return canary, asyncio.create_task(proof)


async def test_giving_up_ends_the_wait_with_the_error() -> None:
    canary, proof = proving()
    await asyncio.sleep(0)
    canary.give_up(EngineUnavailable("gone"))
    with pytest.raises(EngineUnavailable, match="gone"):
        await proof


async def test_a_stop_is_not_swallowed_by_giving_up_in_the_same_moment() -> None:
    canary, proof = proving()
    await asyncio.sleep(0)
    canary.give_up(EngineUnavailable("gone"))
    proof.cancel()
    with pytest.raises(asyncio.CancelledError):
        await proof
