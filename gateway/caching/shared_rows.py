"""Rows on their way to a model's scheduler, each computed once: the same row twice in a request, or under way for the
same caller already, or kept from before, is not computed again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from gateway.batching.call import RowValue
from gateway.batching.submission import Outcome
from gateway.caching.flights import Flight, Flights, Landing
from gateway.caching.meter import SharingMeter
from gateway.caching.row_keys import RowKeys, may_share
from gateway.caching.vector_cache import VectorCache
from gateway.errors import DeadlineExceeded
from gateway.records import record
from gateway.types import RowOutput, TokenRow

# Holds the place of a value that is not there yet.
_NO_VALUE: RowValue = np.empty(0)


class Submit(Protocol):
    """`gateway.batching.scheduler.Scheduler.submit`."""

    async def __call__(self, rows: Sequence[TokenRow], *, deadline: float, caller: str = "") -> Outcome: ...


@record(frozen=True, slots=True)
class Asker:
    """For whom rows are computed. `deadline` is a reading of `time.monotonic()`. What is shared is of one `caller`
    only; `may_keep` False neither reads the cache nor writes to it."""

    deadline: float
    caller: str = ""
    may_keep: bool = True


class SharedRows:
    """One model's way to its scheduler. Nobody shares another's fate: who waited for a row that failed, or whose asker
    went away, has it computed for himself."""

    def __init__(self, submit: Submit, *, meter: SharingMeter, cache: VectorCache | None = None) -> None:
        """`cache` None keeps nothing."""
        self._submit = submit
        self._meter = meter
        self._cache = cache
        self._keys = RowKeys()
        self._flights = Flights()

    async def submit(self, rows: Sequence[TokenRow], asker: Asker) -> Outcome:
        """The values of `rows`, all of one output, in order; those that several rows share are one array, not to be
        written to. Raises what `Scheduler.submit` raises. Cancelling drops what nobody else has sent."""
        # Images among texts: two of one size have the same ids, and are told apart by what is not in their keys.
        if not rows or not all(map(may_share, rows)):
            return await self._submit(rows, deadline=asker.deadline, caller=asker.caller)
        request = _Request(self._keys, rows, asker)
        if len(request.rows) < len(rows):
            self._meter.shared(*request.saved())
        if self._cache is not None and asker.may_keep and rows[0].group.output is not RowOutput.LOGIT:
            await self._compute_what_is_not_kept(request, self._cache)
        else:
            await self._compute(request)
        return request.outcome()

    async def _compute_what_is_not_kept(self, request: _Request, cache: VectorCache) -> None:
        """Keeps what was computed only where the model stayed proved meanwhile, in the precision of the keys: what it
        gave otherwise may be another model's."""
        standing = cache.standing()
        keys = await self._look_up(request, cache)
        computed = await self._compute(request)
        if standing is not None and cache.standing() == standing:
            cache.put([keys[place] for place in computed], [request.values[place] for place in computed])

    async def _look_up(self, request: _Request, cache: VectorCache) -> list[bytes]:
        """Fills in what is kept; gives the rows' keys in the cache."""
        keys = cache.keys(request.asker.caller, request.keys)
        tokens = 0
        for place, value in enumerate(await cache.get(keys)):
            if value is not None:
                request.values[place] = value
                tokens += request.rows[place].token_count
        misses = len(request.missing())
        self._meter.looked_up(hits=len(keys) - misses, misses=misses, tokens=tokens)
        return keys

    async def _compute(self, request: _Request) -> list[int]:
        """Fills in what is missing; gives the places of what was computed for this request."""
        computed: list[int] = []
        may_wait = True
        while missing := request.missing():
            waited_for, own = self._divide(request, missing) if may_wait else ([], missing)
            if own:
                await self._fly(request, own)
                computed += own
            if not waited_for:
                break
            may_wait = await self._wait(request, waited_for)
        return computed

    def _divide(self, request: _Request, missing: Sequence[int]) -> tuple[list[tuple[int, Flight, int]], list[int]]:
        """Which rows are under way already, with their place there, and which are not."""
        waited_for, own = [], []
        for place in missing:
            found = self._flights.find(request.asker.caller, request.keys[place], tokens=request.tokens)
            if found is None:
                own.append(place)
            else:
                waited_for.append((place, *found))
        return waited_for, own

    async def _fly(self, request: _Request, own: Sequence[int]) -> None:
        rows, keys, tokens = request.of(own)
        asker = request.asker
        flight = self._flights.start(asker.caller, keys, tokens=tokens)
        landing = Landing.ABANDONED
        values: Sequence[RowValue] = ()
        try:
            outcome = await self._submit(rows, deadline=asker.deadline, caller=asker.caller)
            landing, values = Landing.VALUES, outcome.values
        except Exception:
            landing = Landing.ERROR
            raise
        finally:
            self._flights.end(asker.caller, flight, landing, values)
        request.take(own, outcome)

    async def _wait(self, request: _Request, waited_for: Sequence[tuple[int, Flight, int]]) -> bool:
        """Takes what flights bring; says whether it is worth waiting for another one. Raises `DeadlineExceeded`."""
        started = time.monotonic()
        may_wait = True
        rows = tokens = 0
        for place, flight, place_there in waited_for:
            landing = await flight.landed(timeout_seconds=max(request.asker.deadline - time.monotonic(), 0.0))
            if landing is None:
                raise DeadlineExceeded("The request took longer than it may.")
            if landing is Landing.VALUES:
                request.values[place] = flight.values[place_there]
                rows, tokens = rows + 1, tokens + request.rows[place].token_count
            # One that failed may fail again, and who waits in a row of such waits for each of them.
            may_wait = may_wait and landing is not Landing.ERROR
        self._meter.shared(rows, tokens)
        request.infer_seconds = max(request.infer_seconds, time.monotonic() - started)
        return may_wait


class _Request:
    """One request's different rows, and what it has of their values by now. `rows`, `keys` and `tokens` are of these;
    `of_rows` says for each row given which of them it is, where these are fewer."""

    __slots__ = ("asker", "given", "infer_seconds", "keys", "of_rows", "queue_seconds", "rows", "tokens", "values")

    def __init__(self, keys: RowKeys, given: Sequence[TokenRow], asker: Asker) -> None:
        self.asker = asker
        self.given = self.rows = given
        self.keys = [keys.key(row) for row in given]
        self.of_rows: Sequence[int] = ()
        if len(given) > 1 and len(set(self.keys)) < len(given):
            self._leave_out_the_same()
        self.tokens = _tokens_of(self.rows)
        self.values = [_NO_VALUE] * len(self.rows)
        self.queue_seconds = 0.0
        self.infer_seconds = 0.0

    def _leave_out_the_same(self) -> None:
        places: dict[bytes, int] = {}
        self.of_rows = [places.setdefault(key, len(places)) for key in self.keys]
        self.keys = list(places)
        first = dict(zip(reversed(self.of_rows), reversed(self.given), strict=True))
        self.rows = [first[place] for place in range(len(places))]

    def saved(self) -> tuple[int, int]:
        """Rows and tokens that are there more than once."""
        return len(self.given) - len(self.rows), _tokens_of(self.given) - self.tokens

    def missing(self) -> list[int]:
        return [place for place, value in enumerate(self.values) if value is _NO_VALUE]

    def of(self, places: Sequence[int]) -> tuple[Sequence[TokenRow], Sequence[bytes], int]:
        """The rows at these places, their keys and how many tokens they have."""
        if len(places) == len(self.rows):
            return self.rows, self.keys, self.tokens
        rows = [self.rows[place] for place in places]
        return rows, [self.keys[place] for place in places], _tokens_of(rows)

    def take(self, places: Sequence[int], outcome: Outcome) -> None:
        if len(places) == len(self.values):
            self.values = outcome.values
        else:
            for place, value in zip(places, outcome.values, strict=True):
                self.values[place] = value
        self.queue_seconds = max(self.queue_seconds, outcome.queue_seconds)
        self.infer_seconds = max(self.infer_seconds, outcome.infer_seconds)

    def outcome(self) -> Outcome:
        values = self.values
        if len(self.rows) < len(self.given):
            values = [values[place] for place in self.of_rows]
        return Outcome(values, self.queue_seconds, self.infer_seconds)


def _tokens_of(rows: Sequence[TokenRow]) -> int:
    tokens = 0
    for row in rows:
        tokens += len(row.ids)
    return tokens
