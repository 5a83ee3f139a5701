"""The calls that the engine has been given and has not answered."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.batching.submission import Row
from gateway.records import record


@record(frozen=True, slots=True)
class Sent:
    """One call: its rows, and what kind of call it is."""

    rows: Sequence[Row]
    is_urgent: bool
    is_long: bool

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for any of its rows."""
        return all(row.abandoned for row in self.rows)

    @property
    def deadline(self) -> float:
        """When the last of its callers stops waiting."""
        return max(row.submission.deadline for row in self.rows)


class CallsUnderWay:
    """Calls by their tasks, counted by kind."""

    def __init__(self) -> None:
        self._sent: dict[asyncio.Task[None], Sent] = {}
        self.urgent = 0
        self.long = 0

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def others(self) -> int:
        """Those that are not urgent."""
        return len(self._sent) - self.urgent

    def begin(self, task: asyncio.Task[None], sent: Sent) -> None:
        self._sent[task] = sent
        self.urgent += sent.is_urgent
        self.long += sent.is_long

    def end(self, task: asyncio.Task[None]) -> None:
        sent = self._sent.pop(task, None)
        if sent is not None:
            self.urgent -= sent.is_urgent
            self.long -= sent.is_long

    def items(self) -> list[tuple[asyncio.Task[None], Sent]]:
        """As they are now, so that calls may begin and end meanwhile."""
        return list(self._sent.items())
