"""Holding work that knows nothing of a request's deadline, such as tokenizing, to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Generator
from types import TracebackType, coroutine
from typing import Any, TypeVar

from gateway.errors import DeadlineExceeded

T = TypeVar("T")


class before:  # noqa: N801 - reads as `async with before(deadline)`; a generator would cost twice as much
    """Cancels what is awaited in the block when `deadline`, a reading of `time.monotonic()`, has come.

    Raises `DeadlineExceeded` then, and at once where it has passed already.
    """

    __slots__ = ("_deadline", "_timeout")

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline

    async def __aenter__(self) -> None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise _too_late()
        self._timeout = asyncio.timeout(remaining)
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise _too_late() from None


async def within(deadline: float, work: Coroutine[Any, Any, T]) -> T:
    """As `await work` in a block of `before(deadline)`, for work that raises no `TimeoutError` when it is cancelled. A
    timer is set only once `work` has to wait: what it does up to there cannot be cancelled anyway, and setting one
    costs more than reading a short text does."""
    if deadline <= time.monotonic():
        work.close()
        raise _too_late()
    try:
        awaited = work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    rest = _going_on(work, awaited)
    # An error that it ends with would reach it by its traceback, and so keep itself and the request.
    del awaited
    timeout = asyncio.timeout(deadline - time.monotonic())
    try:
        async with timeout:
            return await rest
    except TimeoutError:
        if not timeout.expired():
            raise
        raise _too_late() from None


@coroutine
def _going_on(work: Coroutine[Any, Any, T], awaited: object) -> Generator[Any, Any, T]:
    """The rest of `work`, which waits for `awaited` now."""
    try:
        while True:
            try:
                answer = yield awaited
            except BaseException as error:  # noqa: BLE001 - what it waited for failed, or it is cancelled or closed
                awaited = None
                awaited = work.throw(error)
            else:
                awaited = work.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The request took longer than it may.")
