"""An event loop whose clock is moved by hand: hours of waiting pass at once, and every run of the same steps is the
same. Nothing of `time` or `asyncio` is patched; what is tested takes its clock as an argument."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class _Selector(selectors.DefaultSelector):
    """Never waits: the loop is told instead how long it would have."""

    would_wait: Callable[[float | None], None]

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            self.would_wait(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes where all tasks wait, up to the next timer."""

    def __init__(self) -> None:
        self.now = 1000.0
        selector = _Selector()
        selector.would_wait = self._pass
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def run_for(self, seconds: float) -> None:
        """Runs what happens in the next `seconds`."""
        self.run_until_complete(asyncio.sleep(seconds))

    def run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return self.run_until_complete(work)

    def _pass(self, seconds: float | None) -> None:
        if seconds is None:
            raise AssertionError("everything waits, and for nothing that will ever come")
        # A little more, so that a timer is due though floats are not exact.
        self.now += seconds + 1e-9
