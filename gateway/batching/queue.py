"""Waiting rows in the two orders that a cut needs: who is served next, and who has about that length.

Who is next is self-clocked fair queueing (Golestani 1994): a row's tag is max(virtual time, its flow's last tag) + its
tokens, a flow being one request, and virtual time is the tag of the row served last. A single query that arrives during
a bulk of 2,048 rows is next as soon as the bulk has had as many tokens as it needs itself, and the other way round.
Start tags would let it pass at once, but then a stream of single queries would starve a bulk.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from sortedcontainers import SortedList

from gateway.batching.submission import Row, Submission

_Key = tuple[int, float, int, Row]

# Rows that have left may make up half of the heap and this many more; then it is built anew.
_SPENT_ENTRIES = 64


class RowQueue:
    """The rows in line, counted in rows and tokens. A row is in line exactly while `row.waiting`."""

    def __init__(self) -> None:
        # A row that joined another's cut or was discarded stays in this heap until it surfaces, and is skipped then.
        self._by_tag: list[tuple[float, int, Row]] = []
        self._by_length: SortedList[_Key] = SortedList()
        self._virtual_time = 0.0
        self._sequence = 0
        self.rows = 0
        self.tokens = 0

    def add(self, submission: Submission) -> None:
        """Puts a submission's rows in line, the longest first, so that cuts out of a bulk are of like length."""
        tag = self._virtual_time
        for row in sorted(submission.rows, key=_length, reverse=True):
            tag += row.length
            row.tag = tag
            self._enter(row)
        self._by_length.update(map(_key, submission.rows))

    def put_back(self, row: Row) -> None:
        """Puts a row in line again under the tag it had, so that a lost call does not cost it its place."""
        self._enter(row)
        self._by_length.add(_key(row))

    def take_seed(self) -> Row | None:
        """Takes the row that is to be served next out of line; None when nobody waits."""
        while self._by_tag:
            row = heappop(self._by_tag)[2]
            if row.waiting:
                self._virtual_time = max(self._virtual_time, row.tag)
                self.take(row)
                return row
        return None

    def take(self, row: Row) -> None:
        """Takes one row out of line."""
        row.waiting = False
        self._by_length.remove(_key(row))
        self.rows -= 1
        self.tokens -= row.length
        row.submission.queued_rows -= 1
        if not self.rows:
            self._by_tag.clear()
        elif len(self._by_tag) > 2 * self.rows + _SPENT_ENTRIES:
            self._by_tag = [entry for entry in self._by_tag if entry[2].waiting]
            heapify(self._by_tag)

    def discard(self, submission: Submission) -> int:
        """Takes what is left of a submission out of line; gives the number of rows."""
        dropped = submission.queued_rows
        if dropped:
            for row in submission.rows:
                if row.waiting:
                    self.take(row)
        return dropped

    def up_to(self, length: int) -> Iterator[Row]:
        """Rows in line of at most `length` tokens: the longest first, by tag within a length. They stay in line."""
        return (key[3] for key in self._by_length.irange(minimum=(-length,)))

    def above(self, length: int) -> Iterator[Row]:
        """Rows in line of more than `length` tokens, the shortest first. They stay in line."""
        return (key[3] for key in self._by_length.irange(maximum=(-length,), reverse=True))

    def waiting(self) -> list[Row]:
        """All rows in line."""
        return [key[3] for key in self._by_length]

    def _enter(self, row: Row) -> None:
        self._sequence += 1
        row.sequence = self._sequence
        row.waiting = True
        heappush(self._by_tag, (row.tag, row.sequence, row))
        self.rows += 1
        self.tokens += row.length
        row.submission.queued_rows += 1


def _key(row: Row) -> _Key:
    """Longest first, then by tag; the sequence number is unique, so rows themselves are never compared."""
    return (-row.length, row.tag, row.sequence, row)


def _length(row: Row) -> int:
    return row.length
