"""Rows under way, so that who asks for one of them again waits for it instead of having it computed again.

Within one caller's rows only: how soon an answer comes would tell one tenant what another one embeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import Enum

from gateway.batching.call import RowValue

# Who asks for less than a flight carries would wait for the rest of it, so a query does not wait for a bulk; up to this
# many tokens, a call's worth, it makes no difference.
_ALWAYS_WORTH_TOKENS = 512


class Landing(Enum):
    """How a flight ended: with values, by an error, or because whoever asked went away."""

    VALUES = "values"
    ERROR = "error"
    ABANDONED = "abandoned"


class Flight:
    """Some rows of one request on their way through the scheduler."""

    __slots__ = ("_landing", "_waiters", "keys", "tokens", "values")

    def __init__(self, keys: Sequence[bytes], tokens: int) -> None:
        self.keys = keys
        self.tokens = tokens
        self.values: Sequence[RowValue] = ()
        self._landing: Landing | None = None
        self._waiters: list[asyncio.Future[None]] = []

    async def landed(self, *, timeout_seconds: float) -> Landing | None:
        """How it ended; None when the time was over first. Being cancelled here leaves the flight as it is."""
        if self._landing is None:
            loop = asyncio.get_running_loop()
            waiter = loop.create_future()
            self._waiters.append(waiter)
            timer = loop.call_later(timeout_seconds, _wake, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
        return self._landing

    def land(self, landing: Landing, values: Sequence[RowValue] = ()) -> None:
        self._landing = landing
        self.values = values
        for waiter in self._waiters:
            _wake(waiter)
        self._waiters.clear()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Flights:
    """One model's flights, by caller and by what identifies a row.

    A flight that has landed is not in here any more, so nothing of a row is kept beyond its computation.
    """

    def __init__(self) -> None:
        self._of_callers: dict[str, dict[bytes, tuple[Flight, int]]] = {}

    @property
    def rows(self) -> int:
        """Rows that can be joined now."""
        return sum(map(len, self._of_callers.values()))

    def find(self, caller: str, key: bytes, *, tokens: int) -> tuple[Flight, int] | None:
        """The flight that carries a row, and the row's place in it; None where none does that is worth waiting for to a
        request of so many `tokens`."""
        of_caller = self._of_callers.get(caller)
        found = of_caller.get(key) if of_caller is not None else None
        return found if found is not None and found[0].tokens <= max(tokens, _ALWAYS_WORTH_TOKENS) else None

    def start(self, caller: str, keys: Sequence[bytes], *, tokens: int) -> Flight:
        """A flight of the rows with these keys. Whoever starts one has to `end` it."""
        flight = Flight(keys, tokens)
        of_caller = self._of_callers.setdefault(caller, {})
        for place, key in enumerate(keys):
            of_caller[key] = flight, place
        return flight

    def end(self, caller: str, flight: Flight, landing: Landing, values: Sequence[RowValue] = ()) -> None:
        """Tells all who wait how the flight ended, and forgets it."""
        flight.land(landing, values)
        # Smaller flights may have started with all of its rows since, and have landed before it.
        of_caller = self._of_callers.get(caller, {})
        for key in flight.keys:
            found = of_caller.get(key)
            if found is not None and found[0] is flight:
                del of_caller[key]
        if not of_caller:
            self._of_callers.pop(caller, None)
