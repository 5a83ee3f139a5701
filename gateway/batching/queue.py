"""Waiting rows in three lanes, each in fair order.

Interactive: the rows of small requests, for which somebody waits. Long: rows of long documents, one by one, so that one
can be passed over while another is computed. Bulk: all the others. Interactive rows are asked for by themselves; bulk
and long ones take turns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from operator import attrgetter

from gateway.batching.submission import Row, Submission
from gateway.batching.turns import Lane

# A long row lets bulk rows pass until they had as many tokens as it needs itself, for each caller (of one caller: each
# request) that has some. It is next at the latest when they had this many times its tokens: a ninth of the work.
_PATIENCE = 8

_length = attrgetter("length")
_tokens = attrgetter("tokens")


def equally(_caller: str) -> float:
    """Every caller has the same share."""
    return 1.0


class RowQueue:
    """The rows in line, counted in rows and tokens. A row is in line exactly while `row.waiting`."""

    def __init__(
        self,
        *,
        long_row_tokens: int = sys.maxsize,
        interactive_tokens: int = 0,
        weight_of: Callable[[str], float] = equally,
    ) -> None:
        """Rows of more than `long_row_tokens` stand in the long lane, those of requests with up to
        `interactive_tokens` and none that is long in the interactive one."""
        self._long_row_tokens = long_row_tokens
        self._interactive_tokens = interactive_tokens
        self._interactive = Lane(weight_of)
        self._bulk = Lane(weight_of)
        self._long = Lane(weight_of)
        self._lanes = self._interactive, self._bulk, self._long
        # What was taken from the bulk lane since a long row was served.
        self._passed_tokens = 0
        self.tokens = 0

    @property
    def rows(self) -> int:
        return self._interactive.rows + self._bulk.rows + self._long.rows

    @property
    def has_interactive(self) -> bool:
        """Whether anybody waits in the interactive lane."""
        return bool(self._interactive.rows)

    def add(self, submission: Submission) -> None:
        """Puts a submission's rows in line."""
        rows = submission.rows
        if len(rows) > 1:
            rows = sorted(rows, key=_tokens, reverse=True)
        longs = 0
        if rows[0].tokens > self._long_row_tokens:
            longs = next((place for place, row in enumerate(rows) if row.tokens <= self._long_row_tokens), len(rows))
            self._enter(self._long, submission, rows[:longs])
            rows = rows[longs:]
        if rows:
            is_interactive = not longs and submission.tokens <= self._interactive_tokens
            self._enter(self._interactive if is_interactive else self._bulk, submission, rows)
        self.tokens += submission.tokens

    def put_back(self, row: Row) -> None:
        """Puts a row in line again under the tag it had, so that a lost call does not cost it its place."""
        row.flow.account.put_back(row)
        row.flow.account.lane.rows += 1
        self.tokens += row.tokens

    def take_urgent_seed(self) -> Row | None:
        """Takes the interactive row that is to be served next out of line; None when nobody waits there."""
        return self._serve(self._interactive.first()) if self._interactive.rows else None

    def take_seed(self, *, may_be_long: bool = True) -> Row | None:
        """Takes the row of the other lanes that is to be served next out of line; None when nobody waits who may be
        served."""
        row = self._bulk.first()
        if may_be_long and self._long.rows and (row is None or self._long_is_due()):
            self._passed_tokens = 0
            row = self._long.first()
        return self._serve(row)

    def take(self, rows: Sequence[Row]) -> None:
        """Takes rows that are served out of line; their lines have let go of them already."""
        for row in rows:
            row.waiting = False
            flow = row.flow
            flow.account.virtual_time += row.length / flow.account.weight
            self.tokens -= row.tokens
            flow.waiting -= 1
            if not flow.waiting:
                flow.account.leave()
        lane = rows[0].flow.account.lane
        lane.rows -= len(rows)
        if lane is self._bulk and self._long.rows:
            self._passed_tokens += sum(map(_length, rows))

    def discard(self, submission: Submission) -> int:
        """Takes what is left of a submission out of line; gives the number of rows."""
        dropped = 0
        for flow in submission.flows:
            if not flow.waiting:
                continue
            dropped += flow.waiting
            flow.account.lane.rows -= flow.waiting
            left = [row for row in flow.rows if row.waiting]
            for row in left:
                row.waiting = False
                self.tokens -= row.tokens
            for line in {row.line for row in left}:
                line.keep_waiting({row.length for row in left if row.line is line})
            flow.waiting, flow.rows = 0, ()
            flow.account.leave()
        return dropped

    def is_long(self, row: Row) -> bool:
        """Whether a row that is or was in line belongs to the long lane."""
        return row.flow.account.lane is self._long

    def waiting(self) -> list[Row]:
        """All rows in line."""
        return [row for lane in self._lanes for account in lane.accounts() for row in account.rows()]

    def _enter(self, lane: Lane, submission: Submission, rows: Sequence[Row]) -> None:
        submission.flows.append(lane.account(submission.caller).enter(rows))
        lane.rows += len(rows)

    def _serve(self, row: Row | None) -> Row | None:
        if row is not None:
            row.flow.account.lane.serve(row)
            if not row.alone:
                row.line.remove(row)
            self.take((row,))
        return row

    def _long_is_due(self) -> bool:
        row = self._long.first()
        assert row is not None  # the lane has rows
        return self._passed_tokens >= min(self._bulk.contenders, _PATIENCE) * row.length
