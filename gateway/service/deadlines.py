"""Holding work that knows nothing of a request's deadline, such as tokenizing, to it."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from gateway.errors import DeadlineExceeded


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


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The request took longer than it may.")
