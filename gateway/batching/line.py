"""Waiting rows by length: those of one caller, group and lane, which may share a call.

A list for each length, and the lengths in order: rows are taken from it by slices, and what a cut costs depends on how
many lengths it looks at and not on how many rows wait.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.batching.submission import Row
    from gateway.batching.turns import Account

_tag = attrgetter("tag")


class Line:
    """Rows of one caller's account that may share a call. Rows that have to go alone never stand here."""

    __slots__ = ("_lengths", "_rows", "account")

    def __init__(self, account: Account) -> None:
        self.account = account
        self._lengths: list[int] = []
        self._rows: dict[int, list[Row]] = {}

    def __bool__(self) -> bool:
        return bool(self._lengths)

    def enter(self, row: Row) -> None:
        rows = self._rows.get(row.length)
        if rows is None:
            self._rows[row.length] = [row]
            insort(self._lengths, row.length)
        elif rows[-1].tag <= row.tag:
            rows.append(row)
        else:
            insort(rows, row, key=_tag)

    def remove(self, row: Row) -> None:
        rows = self._rows[row.length]
        # A row whose turn it is stands at the front, so that this ends at once.
        rows.remove(row)
        if not rows:
            self._forget(row.length)

    def take(self, length: int, count: int) -> list[Row]:
        """The first `count` rows of this length, which are in line no more."""
        rows = self._rows[length]
        if count >= len(rows):
            self._forget(length)
            return rows
        taken = rows[:count]
        del rows[:count]
        return taken

    def keep_waiting(self, lengths: Collection[int]) -> None:
        """Lets go of rows of these lengths that wait no more."""
        for length in lengths:
            rows = [row for row in self._rows.get(length, ()) if row.waiting]
            if rows:
                self._rows[length] = rows
            elif length in self._rows:
                self._forget(length)

    def count(self, length: int) -> int:
        """How many rows have this length."""
        return len(self._rows[length])

    def at_most(self, length: int) -> list[int]:
        """The lengths of rows up to this one, the longest first."""
        return self._lengths[: bisect_right(self._lengths, length)][::-1]

    def above(self, length: int) -> list[int]:
        """The lengths of longer rows, the shortest first."""
        return self._lengths[bisect_right(self._lengths, length) :]

    def rows(self) -> list[Row]:
        return [row for rows in self._rows.values() for row in rows]

    def _forget(self, length: int) -> None:
        del self._rows[length]
        del self._lengths[bisect_left(self._lengths, length)]
