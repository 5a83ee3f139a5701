"""What shares a call, on the queue alone."""

from __future__ import annotations

import asyncio
import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.batching.cutting import join
from gateway.batching.queue import RowQueue
from gateway.batching.submission import Outcome, Row, Submission
from tests.support.scripted_call import row

BUDGET = 512
OVERHEAD = 25


def submission(lengths: list[int], *, first_id: int = 0) -> Submission:
    loop = asyncio.new_event_loop()
    future: asyncio.Future[Outcome] = loop.create_future()
    loop.close()
    rows = [row(first_id + place, length) for place, length in enumerate(lengths)]
    return Submission(rows, deadline=1e9, now=0.0, future=future)


def drain(queue: RowQueue, *, budget: int = BUDGET) -> list[list[Row]]:
    cuts = []
    while (seed := queue.take_seed()) is not None:
        cuts.append(join(seed, queue, max_batch_tokens=budget, call_overhead_tokens=OVERHEAD))
    return cuts


def cost(lengths: list[int]) -> int:
    return OVERHEAD + len(lengths) * max(lengths)


def least_cost(lengths: list[int], budget: int) -> float:
    """The best possible partition, by dynamic programming over the sorted lengths."""
    ordered = sorted(lengths, reverse=True)
    best = [0.0] + [float("inf")] * len(ordered)
    for start, longest in enumerate(ordered):
        for count in range(1, min(max(1, budget // longest), len(ordered) - start) + 1):
            best[start + count] = min(best[start + count], best[start] + OVERHEAD + count * longest)
    return best[-1]


bulks = st.lists(st.lists(st.integers(1, 300), min_size=1, max_size=40), min_size=1, max_size=4)


@given(bulks, st.integers(32, 600))
def test_cuts_hold_every_row_once_within_the_budget(lengths: list[list[int]], budget: int) -> None:
    queue = RowQueue()
    everything = [submission(some) for some in lengths]
    for one in everything:
        queue.add(one)
    cuts = drain(queue, budget=budget)
    taken = [id(row) for cut in cuts for row in cut]
    assert sorted(taken) == sorted(id(row) for one in everything for row in one.rows)
    for cut in cuts:
        assert len(cut) == 1 or len(cut) * max(row.length for row in cut) <= budget
    assert (queue.rows, queue.tokens, queue.waiting()) == (0, 0, [])


@given(st.lists(st.integers(1, 256), min_size=1, max_size=200))
def test_a_bulk_costs_little_more_than_the_best_partition(lengths: list[int]) -> None:
    queue = RowQueue()
    queue.add(submission(lengths))
    total = sum(cost([row.length for row in cut]) for cut in drain(queue))
    # Of a handful of rows, one call more than there had to be is a large part.
    assert total <= 1.15 * least_cost(lengths, BUDGET) + OVERHEAD


def test_a_bulk_of_log_normal_lengths_is_padded_by_less_than_five_per_cent() -> None:
    drawn = np.random.default_rng(7).lognormal(np.log(36), 0.9, 2048)
    lengths = np.clip(drawn, 3, 256).astype(int).tolist()
    queue = RowQueue()
    queue.add(submission(lengths))
    padded = sum(len(cut) * max(row.length for row in cut) for cut in drain(queue))
    assert padded / sum(lengths) <= 1.05


def test_a_single_query_is_served_next_during_a_bulk() -> None:
    queue = RowQueue()
    queue.add(submission([200] * 2048))
    for _ in range(5):
        seed = queue.take_seed()
        assert seed is not None
        join(seed, queue, max_batch_tokens=BUDGET, call_overhead_tokens=OVERHEAD)
    query = submission([12], first_id=9000)
    queue.add(query)
    assert queue.take_seed() is query.rows[0]


def test_a_bulk_is_not_starved_by_a_stream_of_single_queries() -> None:
    queue = RowQueue()
    bulk = submission([200] * 10)
    queue.add(bulk)
    for number in range(1000):
        queue.add(submission([5], first_id=number))
        seed = queue.take_seed()
        assert seed is not None
        if seed.submission is bulk:
            break
    assert number <= 200 / 5 + 1


def test_rows_of_very_different_length_do_not_share_a_call() -> None:
    queue = RowQueue()
    queue.add(submission([250]))
    queue.add(submission([8]))
    assert [[row.length for row in cut] for cut in drain(queue)] == [[8], [250]]


def test_longer_rows_join_a_short_seed_when_that_is_cheaper() -> None:
    queue = RowQueue()
    for length in (10, 11, 12, 13):
        queue.add(submission([length]))
    assert [sorted(row.length for row in cut) for cut in drain(queue)] == [[10, 11, 12, 13]]


def test_a_row_above_the_budget_goes_alone() -> None:
    queue = RowQueue()
    queue.add(submission([900, 900, 5]))
    assert [[row.length for row in cut] for cut in drain(queue)] == [[900], [900], [5]]


def test_rows_that_have_to_go_alone_are_not_joined() -> None:
    queue = RowQueue()
    one = submission([10, 10, 10])
    one.rows[1].alone = True
    queue.add(one)
    assert sorted(len(cut) for cut in drain(queue)) == [1, 2]


@given(bulks, st.data())
def test_a_discarded_submission_leaves_nothing_behind(lengths: list[list[int]], data: st.DataObject) -> None:
    queue = RowQueue()
    everything = [submission(some) for some in lengths]
    for one in everything:
        queue.add(one)
    gone = data.draw(st.sampled_from(everything))
    assert queue.discard(gone) == len(gone.rows)
    assert queue.discard(gone) == 0
    kept = [row for one in everything if one is not gone for row in one.rows]
    assert (queue.rows, queue.tokens) == (len(kept), sum(row.length for row in kept))
    assert {id(row) for cut in drain(queue) for row in cut} == {id(row) for row in kept}


def test_discarded_rows_are_let_go_while_others_still_wait() -> None:
    queue = RowQueue()
    queue.add(submission([5]))
    tokens = []
    for _ in range(10):
        gone = submission([200] * 100)
        tokens += [weakref.ref(row.given.ids) for row in gone.rows]
        queue.add(gone)
        queue.discard(gone)
    del gone
    gc.collect()
    assert sum(one() is not None for one in tokens) <= 200
    assert (queue.rows, queue.tokens) == (1, 5)
    assert [[row.length for row in cut] for cut in drain(queue)] == [[5]]


def test_a_row_put_back_keeps_its_place() -> None:
    queue = RowQueue()
    first, second = submission([10]), submission([200], first_id=1)
    queue.add(first)
    queue.add(second)
    lost = queue.take_seed()
    assert lost is first.rows[0]
    queue.put_back(lost)
    assert queue.take_seed() is lost


@pytest.mark.parametrize("length", [1, 511, 512, 513])
def test_lengths_around_the_budget(length: int) -> None:
    queue = RowQueue()
    queue.add(submission([length] * 3))
    cuts = drain(queue)
    assert [len(cut) for cut in cuts] == ([3] if length == 1 else [1, 1, 1])
