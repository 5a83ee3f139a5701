"""When a store that failed is asked again."""

from __future__ import annotations

import time
from collections.abc import Callable

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


class Breaker:
    """Closed while all goes well; each failure opens it for twice as long as the one before. When a pause is over one
    attempt is let through, and its end decides."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pause_seconds = 0.0
        self._open_until = 0.0
        self._probing = False

    def allows(self) -> bool:
        """Whether an attempt may be made; whoever is let through has to tell how it went."""
        if not self._pause_seconds:
            return True
        if self._probing or self._clock() < self._open_until:
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        self._pause_seconds = 0.0
        self._probing = False

    def gave_up(self) -> None:
        """The attempt ended before it showed anything."""
        self._probing = False

    def failed(self) -> bool:
        """Whether this failure is the first after a success: the one that is worth telling."""
        if not self._probing and self._clock() < self._open_until:
            return False  # of an attempt that began before another one failed
        first = not self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds or _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
        self._open_until = self._clock() + self._pause_seconds
        self._probing = False
        return first
