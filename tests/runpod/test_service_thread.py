"""A loop of its own in a thread: entered and left in one task, answers across loops, and nothing left at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.runpod.service_thread import LoopThread


def test_a_context_is_entered_and_left_in_one_task_of_the_loop() -> None:
    seen: list[object] = []

    @asynccontextmanager
    async def made() -> AsyncIterator[str]:
        async with asyncio.TaskGroup():  # refuses to be left by another task
            seen.append(threading.current_thread().name)
            yield "value"
        seen.append(asyncio.current_task())

    with LoopThread("a-thread") as loop, loop.running(made()) as value:
        assert value == "value"
        assert seen == ["a-thread"]
    assert len(seen) == 2
    assert "a-thread" not in {thread.name for thread in threading.enumerate()}


def test_what_cannot_be_entered_raises_here() -> None:
    @asynccontextmanager
    async def made() -> AsyncIterator[None]:
        raise LookupError("no")
        yield

    with LoopThread("t") as loop, pytest.raises(LookupError, match="no"), loop.running(made()):
        raise AssertionError("not entered")


def test_what_fails_while_leaving_raises_here() -> None:
    @asynccontextmanager
    async def made() -> AsyncIterator[None]:
        yield
        raise LookupError("late")

    with LoopThread("t") as loop, pytest.raises(LookupError, match="late"), loop.running(made()):
        pass


async def test_another_loop_gets_answers_and_cancels() -> None:
    started, cancelled = threading.Event(), threading.Event()

    async def answer(job: dict[str, Any]) -> str:
        if "wait" not in job:
            return f"{threading.current_thread().name} {job['id']}"
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return ""

    with LoopThread("t") as loop:
        handler = loop.bridged(answer)
        assert await asyncio.gather(*(handler({"id": number}) for number in range(3))) == ["t 0", "t 1", "t 2"]
        waiting = asyncio.ensure_future(handler({"wait": True}))
        await asyncio.to_thread(started.wait, 10)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await asyncio.to_thread(cancelled.wait, 10)


def test_what_is_still_under_way_is_cancelled_at_the_end() -> None:
    ended = threading.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with LoopThread("t") as loop:
        loop.submit(forever())
        loop.call(asyncio.sleep(0))
    assert ended.is_set()
