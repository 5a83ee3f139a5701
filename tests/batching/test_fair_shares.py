"""No caller, request or lane gets less than its share while it waits for more."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.batching.call import CallResult
from gateway.batching.cutting import join
from gateway.batching.queue import RowQueue
from gateway.batching.submission import Row, Submission
from gateway.types import TokenRow
from tests.support.running_service import until
from tests.support.scripted_call import ScriptedCall, row
from tests.support.scripted_scheduler import scheduler, soon, submit

BUDGET = 512
LONGEST = 256


def submission(lengths: list[int], *, caller: str = "", adapter: int | None = None) -> Submission:
    rows = [row(0, length, adapter) for length in lengths]
    return Submission(rows, deadline=1e9, now=0.0, future=Future(), caller=caller)  # type: ignore[arg-type]


def cut(queue: RowQueue, *, urgent: bool = False) -> list[Row]:
    seed = queue.take_urgent_seed() if urgent else queue.take_seed()
    return [] if seed is None else join(seed, queue, max_batch_tokens=BUDGET, call_overhead_tokens=25)


def tokens_by_caller(rows: list[Row]) -> Counter[str]:
    served: Counter[str] = Counter()
    for one in rows:
        served[one.submission.caller] += one.length
    return served


lengths = st.integers(1, LONGEST)
weights = st.sampled_from([0.5, 1.0, 2.0, 3.0])


@settings(max_examples=60, deadline=None)
@given(
    requests=st.dictionaries(st.sampled_from("abcd"), st.integers(1, 20), min_size=2),
    shares=st.fixed_dictionaries(dict.fromkeys("abcd", weights)),
    seed=st.integers(0, 2**32),
)
def test_callers_that_all_want_more_get_tokens_by_their_weights(
    requests: dict[str, int], shares: dict[str, float], seed: int
) -> None:
    """Each has an adapter of its own here: what rides along in another's call for nothing is beyond its share."""
    dice = random.Random(seed)
    queue = RowQueue(weight_of=shares.__getitem__)
    left = dict.fromkeys(requests, 0)
    for adapter, (caller, count) in enumerate(requests.items()):
        for _ in range(count):
            rows = [dice.randint(1, LONGEST) for _ in range(1 + 100 // count)]
            queue.add(submission(rows, caller=caller, adapter=adapter))
            left[caller] += sum(rows)
    served = dict.fromkeys(requests, 0)
    while True:
        for caller, tokens in tokens_by_caller(cut(queue)).items():
            served[caller] += tokens
            left[caller] -= tokens
        if not all(left.values()):
            break
        normal = {caller: served[caller] / shares[caller] for caller in requests}
        ahead = max(normal, key=normal.__getitem__)
        # Whoever is ahead had its turn while it was not, and a call holds no more than the budget.
        assert normal[ahead] - min(normal.values()) <= BUDGET / shares[ahead]


def test_a_caller_with_a_hundred_requests_gets_no_more_than_one_with_a_single_one() -> None:
    queue = RowQueue()
    for _ in range(100):
        queue.add(submission([50] * 100, caller="many"))
    queue.add(submission([50] * 1000, caller="one"))
    served = sum((tokens_by_caller(cut(queue)) for _ in range(100)), Counter[str]())
    assert abs(served["many"] - served["one"]) <= 2 * BUDGET


def test_rows_of_like_length_do_not_ride_along_at_the_cost_of_the_caller_whose_turn_it_is() -> None:
    queue = RowQueue()
    queue.add(submission([50] * 2048, caller="first"))
    queue.add(submission([50] * 2048, caller="second"))
    assert [len(tokens_by_caller(cut(queue))) for _ in range(20)] == [1] * 20


def test_single_queries_of_many_callers_share_a_call() -> None:
    queue = RowQueue(interactive_tokens=BUDGET)
    for number in range(30):
        queue.add(submission([10], caller=str(number)))
    assert len(cut(queue, urgent=True)) == 30


def test_a_caller_that_was_away_has_saved_nothing_up() -> None:
    queue = RowQueue()
    queue.add(submission([100] * 1000, caller="busy"))
    queue.add(submission([100], caller="away"))
    for _ in range(100):
        cut(queue)
    queue.add(submission([100] * 1000, caller="away"))
    served = sum((tokens_by_caller(cut(queue)) for _ in range(100)), Counter[str]())
    assert abs(served["busy"] - served["away"]) <= 2 * BUDGET


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(lengths, min_size=1, max_size=30), min_size=1, max_size=10), st.integers(0, 2**32))
def test_every_request_is_served_though_new_ones_never_cease(bulks: list[list[int]], seed: int) -> None:
    dice = random.Random(seed)
    queue = RowQueue()
    waiting = [submission(one, caller=dice.choice("ab"), adapter=dice.randrange(3)) for one in bulks]
    for one in waiting:
        queue.add(one)
    clients: list[Submission] = []
    served = 0
    while any(one.waiting for each in waiting for one in each.rows):
        clients = [one for one in clients if any(each.waiting for each in one.rows)]
        while len(clients) < 10:
            clients.append(submission([dice.randint(1, LONGEST) for _ in range(4)], caller=dice.choice("abc")))
            queue.add(clients[-1])
        served += sum(one.length for one in cut(queue))
        # While a request has its tokens each other one has as many, and each caller as many as the others.
        assert served <= 3 * (len(bulks) + 10) * (max(one.tokens for one in waiting) + 8 * LONGEST)


class Holding(ScriptedCall):
    """Holds calls of rows with an id below 1000 until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()

    async def __call__(self, rows: Sequence[TokenRow], *, timeout_seconds: float, urgent: bool = False) -> CallResult:
        result = await super().__call__(rows, timeout_seconds=timeout_seconds, urgent=urgent)
        if rows[0].ids[0] < 1000:
            await self.let_go.wait()
        return result


@pytest.mark.parametrize(("first", "second"), [((60, 1), (60, 20)), ((60, 20), (60, 1))])
async def test_no_lane_waits_for_the_other(first: tuple[int, int], second: tuple[int, int]) -> None:
    """All slots of one lane are taken and more wait; a request of the other is served as if it were alone."""
    call = Holding()
    target = scheduler(call, interactive_tokens=100)

    async def ask(first_id: int, length: int, rows: int) -> None:
        await submit(target, *((first_id + number, length) for number in range(rows)))

    held = [asyncio.create_task(ask(number * 20, *first)) for number in range(30)]
    await until(lambda: len(call.calls) == 2)
    await ask(1000, *second)
    assert not any(task.done() for task in held)
    call.let_go.set()
    await asyncio.gather(*held)


async def test_interactive_calls_are_urgent_and_no_others() -> None:
    seen: list[tuple[int, bool]] = []

    class Seen(ScriptedCall):
        async def __call__(
            self, rows: Sequence[TokenRow], *, timeout_seconds: float, urgent: bool = False
        ) -> CallResult:
            seen.append((len(rows[0].ids), urgent))
            return await super().__call__(rows, timeout_seconds=timeout_seconds)

    target = scheduler(Seen(), interactive_tokens=100, long_row_tokens=90)
    for lengths in ([10], [50, 50], [60, 60], [95]):
        await submit(target, *enumerate(lengths))
    assert seen == [(10, True), (50, True), (60, False), (95, False)]


async def test_bulk_calls_are_smaller_and_fewer_while_somebody_waits_behind_them() -> None:
    async def rows_of_calls(**changed: float) -> tuple[int, int]:
        call = ScriptedCall(held=asyncio.Event())
        target = scheduler(call, interactive_tokens=100, **changed)
        query = asyncio.create_task(submit(target, (9999, 10)))
        await until(lambda: call.under_way == 1)
        bulk = asyncio.create_task(submit(target, *((number, 32) for number in range(64))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        counts = [len(ids) for ids in call.calls[1:]]
        assert call.held is not None
        call.held.set()
        await asyncio.gather(query, bulk)
        return len(counts), max(counts)

    assert await rows_of_calls() == (1, 4)
    assert await rows_of_calls(urgent_beside_others=True) == (2, 16)


async def test_a_call_that_nobody_waits_for_is_cancelled_and_its_slot_is_free() -> None:
    call = ScriptedCall(held=asyncio.Event())
    target = scheduler(call, calls_in_flight=1)
    leaving = [asyncio.create_task(submit(target, (number, 10), seconds=300.0)) for number in range(3)]
    await until(lambda: call.under_way == 1)
    waiting = asyncio.create_task(submit(target, (9, 10)))
    for task in leaving[:2]:
        task.cancel()
    await asyncio.gather(*leaving[:2], return_exceptions=True)
    await asyncio.sleep(0)
    assert call.calls == [[0, 1, 2]], "one of its callers is there"
    leaving[2].cancel()
    await until(lambda: len(call.calls) == 2)
    assert call.under_way == 1, "the engine was told that the first is not wanted"
    assert call.held is not None
    call.held.set()
    await waiting
    assert target.idle


async def test_a_call_that_the_engine_computes_to_its_end_keeps_its_slot_though_nobody_waits() -> None:
    call = ScriptedCall(held=asyncio.Event())
    target = scheduler(call, calls_in_flight=1, stops_short_calls=False)
    leaving = asyncio.create_task(submit(target, (1, 10), seconds=300.0))
    await until(lambda: call.under_way == 1)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    waiting = asyncio.create_task(submit(target, (2, 10)))
    await asyncio.sleep(0.01)
    assert call.calls == [[1]], "what comes next would only stand in line behind it"
    assert call.held is not None
    call.held.set()
    await waiting
    assert (call.calls, target.idle) == ([[1], [2]], True)


async def test_an_engine_that_may_still_compute_an_abandoned_call_is_not_idle() -> None:
    target = scheduler(ScriptedCall(held=asyncio.Event()))
    leaving = asyncio.create_task(target.submit([row(1, 10)], deadline=soon(300.0)))
    await asyncio.sleep(0.01)
    leaving.cancel()
    await until(lambda: target.idle)
    await asyncio.sleep(0.01)
    assert target.idle_seconds == 0.0


def test_lanes_and_callers_do_not_change_what_padding_costs() -> None:
    drawn = np.random.default_rng(11).lognormal(np.log(36), 0.9, 4096)
    tokens = np.clip(drawn, 3, 256).astype(int)
    queue = RowQueue()
    for place, part in enumerate(np.split(tokens, 4)):
        queue.add(submission(part.tolist(), caller=str(place % 2)))
    padded = 0
    while rows := cut(queue):
        padded += len(rows) * max(one.length for one in rows)
    assert padded <= 1.05 * int(tokens.sum())
