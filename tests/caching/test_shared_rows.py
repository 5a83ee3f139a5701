from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.batching.submission import Outcome
from gateway.caching.meter import SharingMeter
from gateway.caching.shared_rows import Asker, SharedRows
from gateway.caching.stores import CacheOptions, Stores
from gateway.caching.vector_cache import VectorCache
from gateway.errors import DeadlineExceeded, InferenceFailed
from gateway.telemetry.metrics import Metrics, build_metrics
from gateway.types import RowGroup, RowOutput, TokenRow

MODEL = "scripted"


def vector(ids: Sequence[int]) -> np.ndarray:
    return np.random.default_rng(list(ids)).normal(size=8).astype(np.float32)


def row(*ids: int, output: RowOutput = RowOutput.VECTOR, adapter: int | None = None) -> TokenRow:
    return TokenRow(np.array(ids, dtype=np.int64), group=RowGroup(adapter=adapter, output=output))


@dataclass
class Scheduler:
    """Answers when `gate` is open; refuses submissions that have the row [666]."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    submitted: list[list[tuple[int, ...]]] = field(default_factory=list)
    callers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    async def submit(self, rows: Sequence[TokenRow], *, deadline: float, caller: str = "") -> Outcome:
        asked = [tuple(one.ids.tolist()) for one in rows]
        self.submitted.append(asked)
        self.callers.append(caller)
        await self.gate.wait()
        if (666,) in asked:
            raise InferenceFailed("refused")
        return Outcome([vector(ids) for ids in asked], queue_seconds=0.0, infer_seconds=0.0)


@dataclass
class Sharing:
    scheduler: Scheduler = field(default_factory=Scheduler)
    metrics: Metrics = field(default_factory=lambda: build_metrics(version="test"))
    cache: VectorCache | None = None

    def __post_init__(self) -> None:
        meter = SharingMeter(self.metrics, model=MODEL)
        self.rows = SharedRows(self.scheduler.submit, meter=meter, cache=self.cache)

    async def ask(self, *rows: TokenRow, caller: str = "", seconds: float = 30.0, may_keep: bool = True) -> list[bytes]:
        asker = Asker(time.monotonic() + seconds, caller=caller, may_keep=may_keep)
        return [value.tobytes() for value in (await self.rows.submit(rows, asker)).values]

    def start(self, *rows: TokenRow, **given: object) -> asyncio.Task[list[bytes]]:
        return asyncio.create_task(self.ask(*rows, **given))  # type: ignore[arg-type]

    def count(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"gateway_{name}_total", {"model": MODEL}) or 0.0


def right(*rows: TokenRow) -> list[bytes]:
    return [vector(one.ids.tolist()).tobytes() for one in rows]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_row_that_comes_twice_in_a_request_is_computed_once() -> None:
    sharing = Sharing()
    rows = [row(1, 2), row(3), row(1, 2), row(1, 2), row(4)]
    assert await sharing.ask(*rows) == right(*rows)
    assert sharing.scheduler.submitted == [[(1, 2), (3,), (4,)]]
    assert (sharing.count("shared_rows"), sharing.count("saved_tokens")) == (2, 4)


async def test_a_row_under_way_is_not_computed_again_and_those_that_are_not_are() -> None:
    sharing = Sharing()
    sharing.scheduler.gate.clear()
    first, second = sharing.start(row(1), row(2)), sharing.start(row(2), row(3))
    await turns()
    sharing.scheduler.gate.set()
    assert await first == right(row(1), row(2))
    assert await second == right(row(2), row(3))
    assert sharing.scheduler.submitted == [[(1,), (2,)], [(3,)]]
    assert sharing.count("shared_rows") == 1
    await sharing.ask(row(2))
    assert sharing.scheduler.submitted[2:] == [[(2,)]], "what has landed is not kept"


async def test_one_callers_rows_are_never_anothers() -> None:
    sharing = Sharing()
    sharing.scheduler.gate.clear()
    tasks = [sharing.start(row(1), caller=caller) for caller in ("a", "b", "", "a")]
    await turns()
    sharing.scheduler.gate.set()
    await asyncio.gather(*tasks)
    assert sharing.scheduler.callers == ["a", "b", ""]


@pytest.mark.parametrize("other", [row(1, output=RowOutput.RAW_VECTOR), row(1, adapter=3), row(1, 1)])
async def test_rows_that_differ_in_anything_are_not_shared(other: TokenRow) -> None:
    sharing = Sharing()
    sharing.scheduler.gate.clear()
    tasks = [sharing.start(row(1)), sharing.start(other)]
    await turns()
    sharing.scheduler.gate.set()
    await asyncio.gather(*tasks)
    assert len(sharing.scheduler.submitted) == 2


async def test_rows_of_documents_go_through_as_they_are() -> None:
    sharing = Sharing()
    rows = [row(1, output=RowOutput.SPAN_SUMS)] * 2
    assert len(await sharing.ask(*rows)) == 2
    assert sharing.scheduler.submitted == [[(1,), (1,)]]


@pytest.mark.parametrize("first_is_a_text", [True, False])
async def test_images_of_one_size_beside_a_text_are_not_each_other(first_is_a_text: bool) -> None:
    sharing = Sharing()
    group = RowGroup(images=True)
    images = [
        TokenRow(np.array([7, 7]), group=group, pixels=np.full((2, 2, 3), value, dtype=np.uint8)) for value in (1, 2)
    ]
    await sharing.rows.submit([row(1), *images] if first_is_a_text else [*images, row(1)], Asker(time.monotonic() + 5))
    assert [len(asked) for asked in sharing.scheduler.submitted] == [3]


async def test_the_first_asker_may_go_away() -> None:
    sharing = Sharing()
    sharing.scheduler.gate.clear()
    first = sharing.start(row(1), row(2))
    await turns()
    others = [sharing.start(row(1)) for _ in range(5)]
    await turns()
    first.cancel()
    await turns()
    sharing.scheduler.gate.set()
    assert await asyncio.gather(*others) == [right(row(1))] * 5
    assert sharing.scheduler.submitted == [[(1,), (2,)], [(1,)]], "one of those that stayed asks for all of them"
    assert sharing.rows._flights.rows == 0


async def test_a_waiter_that_goes_away_harms_nobody() -> None:
    sharing = Sharing()
    sharing.scheduler.gate.clear()
    first, second, third = (sharing.start(row(1)) for _ in range(3))
    await turns()
    second.cancel()
    await turns()
    sharing.scheduler.gate.set()
    assert await first == await third == right(row(1))


async def test_a_neighbours_failure_is_not_shared() -> None:
    sharing = Sharing()
    sharing.scheduler.gate.clear()
    first = sharing.start(row(1), row(666))
    await turns()
    others = [sharing.start(row(1)) for _ in range(3)]
    await turns()
    sharing.scheduler.gate.set()
    assert await asyncio.gather(*others) == [right(row(1))] * 3
    with pytest.raises(InferenceFailed):
        await first


async def test_a_bulk_whose_rows_were_all_asked_for_again_since_is_answered() -> None:
    sharing = Sharing()
    sharing.scheduler.gate.clear()
    long = [row(*range(300)), row(*range(1, 301))]
    bulk = sharing.start(*long)
    await turns()
    queries = [sharing.start(one) for one in long]
    await turns()
    assert len(sharing.scheduler.submitted) == 3, "a query does not wait for a bulk"
    for query in queries:
        query.cancel()
    await asyncio.gather(*queries, return_exceptions=True)
    sharing.scheduler.gate.set()
    assert await bulk == right(*long)


async def test_who_waits_for_a_row_that_fails_is_told_and_soon() -> None:
    sharing = Sharing()
    sharing.scheduler.gate.clear()
    tasks = [sharing.start(row(666)) for _ in range(10)]
    await turns()
    sharing.scheduler.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, InferenceFailed) for one in results)
    assert len(sharing.scheduler.submitted) == 10, "nobody waits for one failure after the other"


async def test_a_waiter_keeps_its_own_deadline() -> None:
    sharing = Sharing()
    sharing.scheduler.gate.clear()
    first = sharing.start(row(1))
    await turns()
    with pytest.raises(DeadlineExceeded):
        await sharing.ask(row(1), seconds=0.02)
    sharing.scheduler.gate.set()
    assert await first == right(row(1))


async def test_a_query_does_not_wait_for_a_bulk_and_a_bulk_may() -> None:
    sharing = Sharing()
    sharing.scheduler.gate.clear()
    many = [row(*range(number, number + 10)) for number in range(100)]
    first = sharing.start(*many)
    await turns()
    query, again = sharing.start(many[50]), sharing.start(*many)
    await turns()
    assert len(sharing.scheduler.submitted) == 2
    sharing.scheduler.gate.set()
    assert await query == right(many[50])
    assert await first == await again == right(*many)
    assert sharing.rows._flights.rows == 0


ASKS = st.lists(
    st.tuples(
        st.lists(st.sampled_from([1, 2, 3, 4, 666]), min_size=1, max_size=6),
        st.sampled_from(["", "a"]),
        st.sampled_from(["stays", "stays", "goes"]),
    ),
    min_size=1,
    max_size=8,
)


@settings(deadline=None, max_examples=60)
@given(ASKS, st.lists(st.integers(0, 3), min_size=8, max_size=8))
async def test_whoever_stays_gets_the_right_rows_whatever_others_do(
    asks: list[tuple[list[int], str, str]], waits: list[int]
) -> None:
    sharing = Sharing()
    sharing.scheduler.gate.clear()
    tasks = []
    for (numbers, caller, _), wait in zip(asks, waits, strict=False):
        tasks.append(sharing.start(*(row(number) for number in numbers), caller=caller))
        await turns(wait)
    for task, (_, _, fate) in zip(tasks, asks, strict=True):
        if fate == "goes":
            task.cancel()
            await turns(1)
    sharing.scheduler.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for result, (numbers, _, fate) in zip(results, asks, strict=True):
        if fate == "goes":
            assert isinstance(result, asyncio.CancelledError)
        elif 666 in numbers:
            assert isinstance(result, InferenceFailed)
        else:
            assert result == right(*(row(number) for number in numbers))
    assert sharing.rows._flights.rows == 0
    assert set(sharing.scheduler.callers) <= {caller for _, caller, _ in asks}


def cached(**changed: object) -> Sharing:
    stores = Stores(CacheOptions(max_bytes=100_000, **changed))  # type: ignore[arg-type]
    return Sharing(cache=VectorCache(stores, identity=b"model", size=8))


async def test_what_was_computed_is_kept_bit_by_bit() -> None:
    sharing = cached()
    first = await sharing.ask(row(1), row(2), row(1))
    assert await sharing.ask(row(2), row(1), row(3)) == [first[1], first[0], *right(row(3))]
    assert sharing.scheduler.submitted == [[(1,), (2,)], [(3,)]]
    assert (sharing.count("cache_hits"), sharing.count("cache_misses")) == (2, 3)
    assert sharing.count("saved_tokens") == 3


async def test_nothing_is_kept_of_scores_and_of_who_does_not_want_it() -> None:
    sharing = cached()
    await sharing.ask(row(1), may_keep=False)
    await sharing.ask(row(1))
    await sharing.ask(row(1), may_keep=False)
    for _ in range(2):
        await sharing.ask(row(2, output=RowOutput.LOGIT))
    assert sharing.scheduler.submitted == [[(1,)]] * 3 + [[(2,)]] * 2


async def test_a_cache_is_each_callers_own() -> None:
    sharing = cached()
    for caller in ("a", "b", "a", ""):
        await sharing.ask(row(1), caller=caller)
    assert sharing.scheduler.callers == ["a", "b", ""]


async def test_what_failed_is_not_kept() -> None:
    sharing = cached()
    for _ in range(2):
        with pytest.raises(InferenceFailed):
            await sharing.ask(row(1), row(666))
    assert await sharing.ask(row(1)) == right(row(1))
    assert len(sharing.scheduler.submitted) == 3
