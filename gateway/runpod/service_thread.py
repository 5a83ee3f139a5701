"""The service in an event loop of its own thread: the main thread and its loop belong to the runpod package."""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

_Result = TypeVar("_Result")
_Made = TypeVar("_Made")


class LoopThread:
    """An event loop that runs in a thread until the context is left."""

    def __init__(self, name: str) -> None:
        self._loop = _new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    def __enter__(self) -> LoopThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.call(_cancel_all_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def submit(self, work: Coroutine[Any, Any, _Result]) -> concurrent.futures.Future[_Result]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Blocks until `work` is done; an exception in this thread meanwhile, Ctrl-C say, cancels it."""
        future = self.submit(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @contextmanager
    def running(self, made: AbstractAsyncContextManager[_Made]) -> Iterator[_Made]:
        """Enters `made` in the loop and leaves it there, both in one task, as task groups within it ask for."""
        leave = asyncio.Event()
        entered: concurrent.futures.Future[_Made] = concurrent.futures.Future()
        held = self.submit(_hold(made, entered, leave))
        try:
            yield entered.result()
        finally:
            self._loop.call_soon_threadsafe(leave.set)
            concurrent.futures.wait([held])
            held.result()

    def bridged(
        self, answer: Callable[[dict[str, Any]], Coroutine[Any, Any, _Result]]
    ) -> Callable[[dict[str, Any]], Awaitable[_Result]]:
        """`answer` for callers in another event loop; what they cancel is cancelled here."""

        async def from_outside(job: dict[str, Any]) -> _Result:
            return await asyncio.wrap_future(self.submit(answer(job)))

        return from_outside


async def _hold(
    made: AbstractAsyncContextManager[_Made], entered: concurrent.futures.Future[_Made], leave: asyncio.Event
) -> None:
    try:
        async with made as value:
            entered.set_result(value)
            await leave.wait()
    except Exception as error:
        if entered.done():
            raise
        entered.set_exception(error)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _cancel_all_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
