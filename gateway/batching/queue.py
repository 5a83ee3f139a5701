"""Waiting rows in the two orders that a cut needs: who is served next, and who of its group has about that length.

Who is next is self-clocked fair queueing (Golestani 1994): a row's tag is max(virtual time, its flow's last tag) + its
tokens, a flow being one request, and virtual time is the tag of the row served last. A single query that arrives during
a bulk of 2,048 rows is next as soon as the bulk has had as many tokens as it needs itself, and the other way round.
Start tags would let it pass at once, but then a stream of single queries would starve a bulk.

Long rows stand in a lane of their own, so that one can be passed over while another is computed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush

from sortedcontainers import SortedList

from gateway.batching.submission import Row, Submission
from gateway.types import RowGroup

_Key = tuple[int, float, int, Row]

# Rows that have left may make up half of a lane's heap and this many more; then it is built anew.
_SPENT_ENTRIES = 64

# A long row lets short rows pass until they had as many tokens as it needs itself. Among many requests its fair turn
# may still be far off then: it is next at the latest when they had this many times its tokens, a ninth of the work.
_PATIENCE = 8


class Lane:
    """Rows in the order in which they are served. `rows` counts those in line, `passed_tokens` what was taken from
    other lanes since one of them was served."""

    __slots__ = ("_by_tag", "passed_tokens", "rows")

    def __init__(self) -> None:
        # A row that joined another's cut or was discarded stays in here until it surfaces, and is skipped then.
        self._by_tag: list[tuple[float, int, Row]] = []
        self.rows = 0
        self.passed_tokens = 0

    def enter(self, row: Row) -> None:
        heappush(self._by_tag, (row.tag, row.sequence, row))
        self.rows += 1

    def leave(self) -> None:
        """One row is in line no more."""
        self.rows -= 1
        if not self.rows:
            self._by_tag.clear()
            self.passed_tokens = 0
        elif len(self._by_tag) > 2 * self.rows + _SPENT_ENTRIES:
            self._by_tag = [entry for entry in self._by_tag if entry[2].waiting]
            heapify(self._by_tag)

    def first(self) -> Row | None:
        """The row whose turn it is."""
        while self._by_tag:
            row = self._by_tag[0][2]
            if row.waiting:
                return row
            heappop(self._by_tag)
        return None


class Line:
    """The rows of one group in one lane, by length: those that may share a call."""

    __slots__ = ("by_length", "lane")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.by_length: SortedList[_Key] = SortedList()

    def enter(self, rows: Sequence[Row]) -> None:
        if len(rows) == 1:
            self.by_length.add(_key(rows[0]))
        else:
            self.by_length.update(map(_key, rows))


class RowQueue:
    """The rows in line, counted in rows and tokens. A row is in line exactly while `row.waiting`."""

    def __init__(self, *, long_row_tokens: int = sys.maxsize) -> None:
        """Rows of more than `long_row_tokens` stand in the long lane."""
        self._long_row_tokens = long_row_tokens
        self._short = Lane()
        self._long = Lane()
        # The lines of short and of long rows for each adapter and output of a model, made when first needed: a handful.
        self._lines: dict[RowGroup, tuple[Line, Line]] = {}
        self._recent: tuple[RowGroup, tuple[Line, Line]] | None = None
        self._virtual_time = 0.0
        self._sequence = 0
        self.rows = 0
        self.tokens = 0

    def add(self, submission: Submission) -> None:
        """Puts a submission's rows in line, the longest first, so that cuts out of a bulk are of like length."""
        tag = self._virtual_time
        entering: dict[Line, list[Row]] = {}
        for row in sorted(submission.rows, key=_length, reverse=True):
            tag += row.length
            row.tag = tag
            row.line = self._line_of(row)
            self._enter(row)
            entering.setdefault(row.line, []).append(row)
        for line, rows in entering.items():
            line.enter(rows)

    def put_back(self, row: Row) -> None:
        """Puts a row in line again under the tag it had, so that a lost call does not cost it its place."""
        self._enter(row)
        row.line.by_length.add(_key(row))

    def take_seed(self, *, may_be_long: bool = True) -> Row | None:
        """Takes the row that is to be served next out of line; None when nobody waits who may be served."""
        row = self._short.first()
        if self._long.rows and may_be_long:
            row = self._first_of_both(row)
        if row is None:
            return None
        self._virtual_time = max(self._virtual_time, row.tag)
        if row.line.lane is self._long:
            self._long.passed_tokens = 0
        self.take_along((row,))
        return row

    def take_along(self, rows: Sequence[Row]) -> None:
        """Takes rows out of line that are served now."""
        if self._long.rows:
            self._long.passed_tokens += sum(row.length for row in rows if not self.is_long(row))
        for row in rows:
            self.take(row)

    def take(self, row: Row) -> None:
        """Takes one row out of line."""
        row.waiting = False
        row.line.by_length.remove(_key(row))
        row.line.lane.leave()
        self.rows -= 1
        self.tokens -= row.length
        row.submission.queued_rows -= 1

    def discard(self, submission: Submission) -> int:
        """Takes what is left of a submission out of line; gives the number of rows."""
        dropped = submission.queued_rows
        if dropped:
            for row in submission.rows:
                if row.waiting:
                    self.take(row)
        return dropped

    @property
    def has_long(self) -> bool:
        """Whether anybody waits in the long lane."""
        return bool(self._long.rows)

    def is_long(self, row: Row) -> bool:
        """Whether a row that is or was in line belongs to the long lane."""
        return row.line.lane is self._long

    def up_to(self, seed: Row) -> Iterator[Row]:
        """Rows in line that may share a call with `seed` and are no longer than it: the longest first, by tag within a
        length. They stay in line."""
        return (key[3] for key in seed.line.by_length.irange(minimum=(-seed.length,)))

    def above(self, seed: Row) -> Iterator[Row]:
        """Rows in line that may share a call with `seed` and are longer than it, the shortest first. They stay."""
        return (key[3] for key in seed.line.by_length.irange(maximum=(-seed.length,), reverse=True))

    def waiting(self) -> list[Row]:
        """All rows in line."""
        return [key[3] for lines in self._lines.values() for line in lines for key in line.by_length]

    def _first_of_both(self, short: Row | None) -> Row | None:
        long = self._long.first()
        if long is None or short is None:
            return long or short
        patience = long.length if long.tag <= short.tag else _PATIENCE * long.length
        return long if self._long.passed_tokens >= patience else short

    def _line_of(self, row: Row) -> Line:
        group = row.given.group
        # Rows that follow each other mostly share one group, and looking one up costs as much as all else here.
        if self._recent is None or self._recent[0] is not group:
            self._recent = group, self._lines.setdefault(group, (Line(self._short), Line(self._long)))
        return self._recent[1][row.length > self._long_row_tokens]

    def _enter(self, row: Row) -> None:
        self._sequence += 1
        row.sequence = self._sequence
        row.waiting = True
        row.line.lane.enter(row)
        self.rows += 1
        self.tokens += row.length
        row.submission.queued_rows += 1


def _key(row: Row) -> _Key:
    """Longest first, then by tag; the sequence number is unique, so rows themselves are never compared."""
    return (-row.length, row.tag, row.sequence, row)


def _length(row: Row) -> int:
    return row.length
