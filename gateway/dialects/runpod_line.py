"""Whose job is next: callers take turns, so that nobody's many jobs keep another's one waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class Line(Generic[_Item]):
    """Items wait by caller, each caller's in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[_Item]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, item: _Item, *, caller: str) -> None:
        self._waiting.setdefault(caller, deque()).append(item)

    def next(self) -> _Item | None:
        """The first item of the caller whose last turn is longest ago; None where nobody waits."""
        if not self._waiting:
            return None
        caller = next(iter(self._waiting))
        own = self._waiting.pop(caller)
        item = own.popleft()
        if own:
            self._waiting[caller] = own
        return item

    def take_out(self, is_wanted: Callable[[_Item], bool]) -> list[_Item]:
        """Takes all such items out of the line and returns them."""
        taken: list[_Item] = []
        for caller, own in list(self._waiting.items()):
            wanted = [item for item in own if is_wanted(item)]
            if wanted:
                taken += wanted
                left = deque(item for item in own if not is_wanted(item))
                if left:
                    self._waiting[caller] = left
                else:
                    del self._waiting[caller]
        return taken
