"""A prompt end for the runpod package's job loop, which by itself notices a stop only when its long poll returns, up to
90 seconds later: longer than a platform waits before it kills.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

_POLL_SECONDS = 0.05


class ConcurrencyAndStop:
    """The package's `concurrency_modifier`, which it first calls within its running loop, with its own signal handlers
    in place: that call puts ours in front of them.

    After a stop signal no job is asked for any more, those under way finish within `drain_seconds`, and then the loop
    ends by cancellation.
    """

    def __init__(self, concurrency: int, *, drain_seconds: float, jobs_under_way: Callable[[], int]) -> None:
        self._concurrency = concurrency
        self._drain_seconds = drain_seconds
        self._jobs_under_way = jobs_under_way
        self._fetching: asyncio.Task[Any] | None = None
        self._ending: asyncio.Task[None] | None = None

    def __call__(self, _current: int) -> int:
        if self._fetching is None:
            self._fetching = asyncio.current_task()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                self._put_in_front(number, loop)
        return self._concurrency

    def _put_in_front(self, number: signal.Signals, loop: asyncio.AbstractEventLoop) -> None:
        before = signal.getsignal(number)

        def stop(number: int, frame: FrameType | None) -> None:
            if callable(before):
                before(number, frame)
            loop.call_soon_threadsafe(self._begin_to_end)

        signal.signal(number, stop)

    def _begin_to_end(self) -> None:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        deadline = time.monotonic() + self._drain_seconds
        while self._jobs_under_way() and time.monotonic() < deadline:  # noqa: ASYNC110  (a set that tells nobody)
            await asyncio.sleep(_POLL_SECONDS)
        assert self._fetching is not None
        self._fetching.cancel()
