"""Whose turn it is: fair queueing among callers, and for each caller among its requests.

Among callers it is start-time fair queueing (Goyal, Vin, Cheng 1996): an account's virtual time grows by the tokens of
all that is computed for it over its weight, an account that was empty starts at that of the account served last, and
the least is next. So a caller with a hundred requests gets no more than one with a single one.

Among one caller's requests it is self-clocked fair queueing (Golestani 1994): a row's tag is the tag of the row served
last when its request came, plus the tokens of the request's rows up to and including it. A single query that arrives
during a bulk of 2,048 rows is next as soon as the bulk has had as many tokens as it needs itself, and the other way
round. Start tags would let it pass at once, but then a stream of single queries would starve a bulk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from typing import TYPE_CHECKING

from gateway.batching.line import Line
from gateway.types import RowGroup

if TYPE_CHECKING:
    from gateway.batching.submission import Row

# Requests of which no row waits may make up half of an account's heap and this many more; then it is built anew.
_SPENT_FLOWS = 64


class Flow:
    """One request's rows in one lane, in the order in which their turn comes: the longest first, so that cuts out of a
    bulk are of like length. `waiting` counts those in line."""

    __slots__ = ("_place", "account", "rows", "waiting")

    def __init__(self, account: Account, rows: Sequence[Row]) -> None:
        self.account = account
        self.rows = rows
        self.waiting = len(rows)
        self._place = 0

    def first(self) -> Row | None:
        """The row whose turn it is."""
        if not self.waiting:
            return None
        place = self._place
        while not self.rows[place].waiting:
            place += 1
        self._place = place
        return self.rows[place]

    def put_back(self) -> None:
        """One of its rows is in line again."""
        self.waiting += 1
        self._place = 0


class Account:
    """One caller's requests in one lane, and what it has had. `virtual_time` is in tokens over weight."""

    __slots__ = ("_flows", "_lines", "_recent", "_sequence", "_tag", "lane", "listed", "live", "virtual_time", "weight")

    def __init__(self, lane: Lane, *, weight: float) -> None:
        self.lane = lane
        self.weight = weight
        self.virtual_time = 0.0
        self.listed = False
        # Requests of which a row waits.
        self.live = 0
        # A request's entry may be behind the tag of its next row; that is found out when it surfaces.
        self._flows: list[tuple[int, int, Flow]] = []
        self._sequence = count()
        self._tag = 0
        # The rows of each adapter and output of a model: a handful.
        self._lines: dict[RowGroup, Line] = {}
        self._recent: tuple[RowGroup | None, Line] = None, Line(self)

    def enter(self, rows: Sequence[Row]) -> Flow:
        """Puts rows of one request in line, given the longest first."""
        tag = self._tag
        flow = Flow(self, rows)
        for row in rows:
            tag += row.length
            row.tag = tag
            row.waiting = True
            row.flow = flow
            row.line = line = self._line_of(row.given.group)
            if not row.alone:
                line.enter(row)
        self._list(flow, rows[0].tag)
        return flow

    def put_back(self, row: Row) -> None:
        """Puts a row in line again under the tag it had, so that a lost call does not cost it its place."""
        row.waiting = True
        if not row.alone:
            row.line.enter(row)
        row.flow.put_back()
        self._list(row.flow, row.tag, is_new=row.flow.waiting == 1)

    def first(self) -> Row | None:
        """The row whose turn it is."""
        flows = self._flows
        while flows:
            tag, number, flow = flows[0]
            row = flow.first()
            if row is None:
                heappop(flows)
            elif row.tag > tag:
                heapreplace(flows, (row.tag, number, flow))
            else:
                return row
        return None

    def serve(self, row: Row) -> None:
        """It is this row's turn now."""
        self._tag = max(self._tag, row.tag)

    def leave(self) -> None:
        """Of one request none of the rows is in line any more."""
        self.live -= 1
        if not self.live:
            self._flows.clear()
            self.lane.rests(self)
        elif len(self._flows) > 2 * self.live + _SPENT_FLOWS:
            self._flows = [entry for entry in self._flows if entry[2].waiting]
            heapify(self._flows)

    def rows(self) -> list[Row]:
        """All rows in line."""
        flows = {flow: None for _, _, flow in self._flows}
        return [row for flow in flows for row in flow.rows if row.waiting]

    def line(self, group: RowGroup) -> Line | None:
        """The rows of this group, where there ever were any."""
        return self._lines.get(group)

    def _list(self, flow: Flow, tag: int, *, is_new: bool = True) -> None:
        heappush(self._flows, (tag, next(self._sequence), flow))
        if is_new:
            if not self.live:
                self.lane.wants(self)
            self.live += 1

    def _line_of(self, group: RowGroup) -> Line:
        # Rows that follow each other mostly share one group, and looking one up costs as much as all else here.
        if self._recent[0] is not group:
            self._recent = group, self._lines.setdefault(group, Line(self))
        return self._recent[1]


class Lane:
    """The rows of all callers that are served by the same rule. `rows` counts those in line.

    Accounts are kept: there are as many as API keys.
    """

    __slots__ = ("_accounts", "_live", "_sequence", "_turns", "_virtual_time", "_weight_of", "rows")

    def __init__(self, weight_of: Callable[[str], float]) -> None:
        self._weight_of = weight_of
        self._accounts: dict[str, Account] = {}
        # Those with rows in line, whoever came first in front.
        self._live: dict[Account, None] = {}
        # An account's entry may be behind its virtual time; that is found out when it surfaces.
        self._turns: list[tuple[float, int, Account]] = []
        self._sequence = count()
        self._virtual_time = 0.0
        self.rows = 0

    def account(self, caller: str) -> Account:
        found = self._accounts.get(caller)
        if found is None:
            found = self._accounts[caller] = Account(self, weight=self._weight_of(caller))
        return found

    def accounts(self) -> Iterator[Account]:
        """All that ever had rows here."""
        return iter(self._accounts.values())

    def others(self, account: Account) -> Iterator[Account]:
        """The other accounts that have rows in line."""
        return (other for other in self._live if other is not account)

    def wants(self, account: Account) -> None:
        """An account that was empty has rows in line."""
        self._live[account] = None
        account.virtual_time = max(account.virtual_time, self._virtual_time)
        if not account.listed:
            account.listed = True
            heappush(self._turns, (account.virtual_time, next(self._sequence), account))

    def rests(self, account: Account) -> None:
        """None of the account's rows is in line any more."""
        del self._live[account]

    def first(self) -> Row | None:
        """The row whose turn it is."""
        turns = self._turns
        while turns:
            virtual_time, number, account = turns[0]
            if not account.live:
                heappop(turns)
                account.listed = False
            elif account.virtual_time > virtual_time:
                heapreplace(turns, (account.virtual_time, number, account))
            else:
                return account.first()
        return None

    def serve(self, row: Row) -> None:
        """It is this row's turn now."""
        account = row.flow.account
        self._virtual_time = max(self._virtual_time, account.virtual_time)
        account.serve(row)

    @property
    def contenders(self) -> int:
        """How many want a share: callers, or where there is only one its requests."""
        if len(self._live) == 1:
            return next(iter(self._live)).live
        return len(self._live)
