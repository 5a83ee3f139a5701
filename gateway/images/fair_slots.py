"""Slots that many requests want at once, handed out so that a request with a thousand images, or twenty of them, does
not make one with a single image wait until they are done.

Self-clocked fair queueing, as in `gateway.batching.queue`, where each turn costs the same: a turn's tag is one more
than the later of its request's last tag and the tag served last.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from heapq import heappop, heappush


class FairSlots:
    """So many may be taken at the same time."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._virtual_time = 0
        self._sequence = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    def turns(self) -> Turns:
        """One request's turns."""
        return Turns(self)

    async def take(self, tag: int) -> None:
        """Waits for the turn of `tag`. Cancelled, it takes nothing."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sequence += 1
        heappush(self._waiting, (tag, self._sequence, turn))
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        self._free += 1
        self._serve()

    def next_tag(self, last: int) -> int:
        """Of a request whose last one was `last`."""
        return 1 + max(last, self._virtual_time)

    def _serve(self) -> None:
        while self._free and self._waiting:
            tag, _, turn = heappop(self._waiting)
            if not turn.done():  # else its request has gone
                self._free -= 1
                self._virtual_time = max(self._virtual_time, tag)
                turn.set_result(None)


class Turns:
    """What one request takes of `slots`."""

    __slots__ = ("_last_tag", "_slots")

    def __init__(self, slots: FairSlots) -> None:
        self._slots = slots
        self._last_tag = 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A slot for the length of the block."""
        self._last_tag = self._slots.next_tag(self._last_tag)
        await self._slots.take(self._last_tag)
        try:
            yield
        finally:
            self._slots.give_back()
