from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest

from gateway.errors import DeadlineExceeded
from gateway.service.deadlines import before, within
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


async def _sum_of(*waits: float) -> int:
    """A coroutine that waits so often, and gives how often that was."""
    for seconds in waits:
        await asyncio.sleep(seconds)
    return len(waits)


@pytest.mark.parametrize("waits", [(), (0,), (0.001,), (0, 0.001, 0)])
async def test_work_held_to_a_deadline_gives_what_it_gives(waits: tuple[float, ...]) -> None:
    assert await within(soon(), _sum_of(*waits)) == len(waits)


async def test_work_that_waits_for_nothing_needs_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: float) -> None:
        raise AssertionError("a timer was set")

    monkeypatch.setattr(asyncio, "timeout", refuse)
    assert await within(soon(), _sum_of()) == 0
    with pytest.raises(AssertionError):
        await within(soon(), _sum_of(0))


async def test_no_work_begins_after_the_deadline() -> None:
    async def work() -> None:
        raise AssertionError("it began")

    with pytest.raises(DeadlineExceeded):
        await within(soon(-1), work())


@pytest.mark.parametrize("first_seconds", [0.0, 0.02])
async def test_work_that_takes_longer_is_cancelled(first_seconds: float) -> None:
    """Also where the deadline passed before it had to wait."""
    cancelled = asyncio.Event()

    async def work() -> None:
        time.sleep(first_seconds)  # noqa: ASYNC251 - as tokenizing on the loop would
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(DeadlineExceeded):
        await within(soon(0.01), work())
    assert cancelled.is_set()


async def test_the_works_own_errors_and_cancellation_pass_through() -> None:
    async def failing(error: Exception, *waits: float) -> None:
        await _sum_of(*waits)
        raise error

    for error in ValueError("own"), TimeoutError("own"):
        for waits in (), (0,):
            with pytest.raises(type(error), match="own"):
                await within(soon(), failing(error, *waits))

    tidied = asyncio.Event()

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # cleaning up may wait, too
            tidied.set()

    task = asyncio.create_task(within(soon(), waiting()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tidied.is_set()


async def test_work_may_catch_what_it_waited_for() -> None:
    async def work() -> str:
        failed = asyncio.get_running_loop().create_future()
        failed.get_loop().call_soon(failed.set_exception, KeyError("gone"))
        try:
            await failed
        except KeyError:
            await asyncio.sleep(0)
            return "caught"
        return "missed"

    assert await within(soon(), work()) == "caught"


async def test_work_that_failed_is_gone_without_garbage_collection() -> None:
    class Inputs(list[str]):
        pass

    def fail() -> None:
        raise ValueError("refused")

    async def read(_inputs: Inputs) -> None:
        await asyncio.get_running_loop().run_in_executor(None, fail)

    async def request() -> weakref.ref[Inputs]:
        inputs = Inputs(["a text"])
        with pytest.raises(ValueError, match="refused"):
            await within(soon(), read(inputs))
        return weakref.ref(inputs)

    gc.disable()
    try:
        inputs = await asyncio.create_task(request())
        await asyncio.sleep(0)
        assert inputs() is None
    finally:
        gc.enable()
