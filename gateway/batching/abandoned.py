"""Calls that were given up while the engine still computes: for as long as one may, silence is no sign of death."""

from __future__ import annotations

import time
from collections.abc import Callable

# A real hang is still found: a call is believed in for so many times the time that it was waited for, and never longer.
_TIMES_WAITED = 4.0
_LONGEST_SECONDS = 600.0


class AbandonedCalls:
    """What may still be under way in the engine though nobody waits for it. Times are readings of `clock`."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = 0.0

    def add(self, *, waited_seconds: float) -> None:
        """A call ended with its callers' deadline after that time."""
        self._believe(_TIMES_WAITED * waited_seconds)

    def cancelled(self, *, deadline: float) -> None:
        """A call was given up because its callers left. The engine was told, but what it has begun it may finish: it is
        believed in for as long as those callers would have waited."""
        self._believe(deadline - self._clock())

    def over(self) -> None:
        """The engine has answered something since or is gone, so that it is not busy with what came before."""
        self._until = 0.0

    def until(self) -> float:
        """When the last of them is no longer believed in; in the past where there is none."""
        return self._until

    def _believe(self, seconds: float) -> None:
        self._until = max(self._until, self._clock() + min(seconds, _LONGEST_SECONDS))
