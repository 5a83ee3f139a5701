from __future__ import annotations

import asyncio

import pytest

from gateway.errors import DeadlineExceeded
from gateway.service.deadlines import before
from tests.support.twin_engine import soon


async def test_what_ends_in_time_is_left_alone() -> None:
    async with before(soon()):
        await asyncio.sleep(0)


async def test_nothing_begins_after_the_deadline() -> None:
    with pytest.raises(DeadlineExceeded):
        async with before(soon(-1)):
            raise AssertionError("the block was entered")


async def test_what_takes_longer_is_cancelled() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(DeadlineExceeded):
        async with before(soon(0.01)):
            await work()
    assert cancelled.is_set()


async def test_the_blocks_own_errors_and_cancellation_pass_through() -> None:
    with pytest.raises(ValueError, match="own"):
        async with before(soon()):
            raise ValueError("own")

    async def waiting() -> None:
        async with before(soon()):
            await asyncio.Event().wait()

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
