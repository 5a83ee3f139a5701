"""One caller's rows on their way through the scheduler.

A row answers to its own submission only, so nobody shares a fate with a batch mate. There is one future a submission
and not one a row: all rows of a request are wanted together, and a future with its callback costs 3 us a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, cast

import numpy as np

from gateway.batching.call import RowValue
from gateway.errors import GatewayError
from gateway.records import record
from gateway.types import TokenRow

if TYPE_CHECKING:
    from gateway.batching.line import Line
    from gateway.batching.turns import Flow

# Holds the place of a value that has not arrived.
_NO_VALUE: RowValue = np.empty(0)
# What a row that has ended still holds.
_NOTHING_GIVEN = TokenRow(np.empty(0, dtype=np.int64))


@record(frozen=True, slots=True)
class Outcome:
    """`values` are what `gateway.batching.call.CallResult` holds, in the order submitted; the seconds are the longest
    over the rows."""

    values: list[RowValue]
    queue_seconds: float
    infer_seconds: float


class _Ended:
    """In the place of a future that is let go of; making a new one costs as much as delivering ten values."""

    def done(self) -> bool:
        return True


_ENDED = cast("asyncio.Future[Outcome]", _Ended())


class Row:
    """One text waiting for its value. Mutable and slotted: there is one per text on the hot path.

    `tokens` are its own, which limits count; `length` are those that the engine computes for it, a multiple of
    `block_tokens`, by which calls are cut and shares are fair.
    `flow` and `line` are where it stands while it waits, by turn and by length; the queue sets them. A row that is
    `alone` shares no call.
    """

    __slots__ = (
        "alone",
        "finished",
        "flow",
        "given",
        "index",
        "length",
        "line",
        "lost_calls",
        "submission",
        "tag",
        "tokens",
        "waiting",
    )

    flow: Flow
    line: Line
    tag: int

    def __init__(self, submission: Submission, index: int, given: TokenRow, *, block_tokens: int = 1) -> None:
        self.submission = submission
        self.index = index
        self.given = given
        self.tokens = len(given.ids)
        self.length = self.tokens if block_tokens == 1 else self.tokens + -self.tokens % block_tokens
        self.waiting = False
        self.lost_calls = 0
        self.alone = False
        self.finished = False

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for this row any more: it has its value, or its submission has ended."""
        return self.finished or self.submission.future.done()


class Submission:
    """The rows of one request, the values that have arrived and the future that its caller awaits."""

    __slots__ = (
        "caller", "deadline", "flows", "future", "infer_seconds", "queue_seconds", "remaining", "rows",
        "submitted_at", "tokens", "values",
    )  # fmt: skip

    def __init__(
        self,
        rows: Sequence[TokenRow],
        *,
        deadline: float,
        now: float,
        future: asyncio.Future[Outcome],
        caller: str = "",
        block_tokens: int = 1,
    ) -> None:
        """`block_tokens`: as `SchedulerLimits` has it."""
        self.caller = caller
        self.rows = [Row(self, index, row, block_tokens=block_tokens) for index, row in enumerate(rows)]
        self.deadline = deadline
        self.submitted_at = now
        self.future = future
        self.remaining = len(self.rows)
        self.tokens = sum([row.tokens for row in self.rows])
        # Where its rows wait, a flow for each lane.
        self.flows: list[Flow] = []
        self.queue_seconds = 0.0
        self.infer_seconds = 0.0
        self.values: list[RowValue] = [_NO_VALUE] * len(self.rows)

    def deliver(self, row: Row, value: RowValue, *, infer_seconds: float) -> None:
        """Takes one row's value; the last one finishes the submission."""
        if row.finished or self.future.done():
            return
        row.finished = True
        self.values[row.index] = value
        if infer_seconds > self.infer_seconds:
            self.infer_seconds = infer_seconds
        self.remaining -= 1
        if not self.remaining:
            self.future.set_result(Outcome(self.values, self.queue_seconds, self.infer_seconds))

    def release(self) -> None:
        """Lets go of rows and values once the submission has ended: the queue may hold a row that has left for a while,
        and an image's pixels are megabytes."""
        self.values = []
        for row in self.rows:
            row.given = _NOTHING_GIVEN
        # A row names its submission and its flow: without these lists all of them go now, without garbage collection.
        for flow in self.flows:
            flow.rows = ()
        self.rows, self.flows = [], []
        # An error that it holds reaches, by its traceback, the caller's frames and what they hold.
        self.future = _ENDED

    def retrieve(self) -> None:
        """Marks the error as seen, for a caller that was cancelled in the moment its submission failed."""
        if self.future.done() and not self.future.cancelled():
            self.future.exception()

    def fail(self, error: GatewayError) -> None:
        """Fails the whole submission, unless it has ended already."""
        if not self.future.done():
            # A copy, because every caller that raises an exception adds its own traceback to it.
            self.future.set_exception(copy(error))
