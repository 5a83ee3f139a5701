from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InferenceFailed, Overloaded
from gateway.text import pool as pool_module
from gateway.text.pool import HOP_CHARACTERS, LONG_CHARACTERS, TURN_WEIGHT, TokenizerPool, slices
from gateway.text.tokenizer import TextTokenizer, Tokenized
from tests.support.tiny_tokenizer import tiny_tokenizer


class Recording(TextTokenizer):
    """The real tokenizer; keeps what each hop was given, waits for `gate`, and fails on one text."""

    def __init__(self) -> None:
        super().__init__(tiny_tokenizer(), max_tokens=100, max_text_bytes=10**6)
        self.hops: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.threads: set[int] = set()

    def encode(self, texts: Sequence[str]) -> list[Tokenized]:
        self.hops.append(list(texts))
        self.threads.add(threading.get_ident())
        assert self.gate.wait(10)
        if "poison" in texts:
            raise RuntimeError("the tokenizer fell over")
        return super().encode(texts)


def threads_only(executor: ThreadPoolExecutor, *, threads: int) -> TokenizerPool:
    """A pool that reads nothing on the event loop."""
    return TokenizerPool(executor, threads=threads, turn_weight=0)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


async def test_texts_that_wait_together_go_in_one_hop_off_the_loop(executor: ThreadPoolExecutor) -> None:
    tokenizer = Recording()
    pool = threads_only(executor, threads=1)
    results = await asyncio.gather(*(pool.run(tokenizer.encode, [f"{'cat ' * count}"]) for count in range(20)))
    assert [result[0].token_count for result in results] == [2 + count for count in range(20)]
    assert len(tokenizer.hops) == 1
    assert threading.get_ident() not in tokenizer.threads


async def test_texts_pile_up_while_a_hop_runs(executor: ThreadPoolExecutor) -> None:
    tokenizer = Recording()
    tokenizer.gate.clear()
    pool = threads_only(executor, threads=1)
    first = asyncio.create_task(pool.run(tokenizer.encode, ["the"]))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(pool.run(tokenizer.encode, ["cat"])) for _ in range(10)]
    await asyncio.sleep(0.01)
    tokenizer.gate.set()
    await asyncio.gather(first, *others)
    assert [len(hop) for hop in tokenizer.hops] == [1, 10]


async def test_a_cancelled_caller_is_left_out_and_harms_nobody(executor: ThreadPoolExecutor) -> None:
    tokenizer = Recording()
    tokenizer.gate.clear()
    pool = threads_only(executor, threads=1)
    running = asyncio.create_task(pool.run(tokenizer.encode, ["the"]))
    await asyncio.sleep(0.01)
    gone, stays = (asyncio.create_task(pool.run(tokenizer.encode, [text])) for text in ("mat", "cat sat"))
    await asyncio.sleep(0.01)
    gone.cancel()
    running.cancel()
    await asyncio.sleep(0)
    tokenizer.gate.set()
    assert (await stays)[0].token_count == 4
    assert tokenizer.hops == [["the"], ["cat sat"]]


async def test_what_is_read_in_another_way_goes_in_a_hop_of_its_own(executor: ThreadPoolExecutor) -> None:
    hops: list[list[str]] = []

    def lengths(texts: Sequence[str]) -> list[int]:
        hops.append(list(texts))
        return [len(text) for text in texts]

    tokenizer = Recording()
    pool = threads_only(executor, threads=1)
    results = await asyncio.gather(
        pool.run(tokenizer.encode, ["cat"]),
        pool.run(lengths, ["ab"]),
        pool.run(lengths, ["abc"]),
        pool.run(tokenizer.encode, ["mat"]),
    )
    assert results[1:3] == [[2], [3]]
    assert hops == [["ab", "abc"]]
    assert tokenizer.hops == [["cat"], ["mat"]]


async def test_a_text_the_tokenizer_fails_on_fails_alone(executor: ThreadPoolExecutor) -> None:
    tokenizer, pool = Recording(), threads_only(executor, threads=1)
    results = await asyncio.gather(
        pool.run(tokenizer.encode, ["cat"]),
        pool.run(tokenizer.encode, ["poison"]),
        pool.run(tokenizer.encode, ["mat"]),
        return_exceptions=True,
    )
    assert isinstance(results[1], InferenceFailed)
    assert "poison" not in results[1].message
    assert not isinstance(results[0], BaseException)
    assert not isinstance(results[2], BaseException)
    assert (await pool.run(tokenizer.encode, ["cat"]))[0].token_count == 3


async def test_callers_that_go_again_by_themselves_do_not_let_all_others_in(executor: ThreadPoolExecutor) -> None:
    hops: list[list[str]] = []
    begun, may_run = threading.Semaphore(0), threading.Semaphore(0)

    def lengths(texts: Sequence[str]) -> list[int]:
        hops.append(list(texts))
        begun.release()
        assert may_run.acquire(timeout=10)
        if "poison" in texts:
            raise RuntimeError("the tokenizer fell over")
        return [len(text) for text in texts]

    pool = threads_only(executor, threads=1)
    first = [asyncio.create_task(pool.run(lengths, [text])) for text in ("cat", "poison", "mat")]
    assert await asyncio.to_thread(begun.acquire, timeout=10)
    may_run.release()
    assert await asyncio.to_thread(begun.acquire, timeout=10)
    later = []
    for text in ("the", "sat"):
        later.append(asyncio.create_task(pool.run(lengths, [text])))
        await asyncio.sleep(0.01)
    may_run.release(10)
    await asyncio.gather(*first, *later, return_exceptions=True)
    assert hops == [["cat", "poison", "mat"], ["cat"], ["poison"], ["mat"], ["the", "sat"]]


LONG = "a" * (LONG_CHARACTERS + 1)


class Stuck(Recording):
    """Long texts wait for `gate`, short ones do not."""

    def encode(self, texts: Sequence[str]) -> list[Tokenized]:
        self.hops.append(list(texts))
        if texts[0] == LONG:
            assert self.gate.wait(10)
        return [Tokenized(ids=np.zeros(1, dtype=np.int64), token_count=1) for _ in texts]


async def test_long_texts_never_take_the_last_thread() -> None:
    tokenizer = Stuck()
    tokenizer.gate.clear()
    with ThreadPoolExecutor(2) as two:
        pool = threads_only(two, threads=2)
        long = [asyncio.create_task(pool.run(tokenizer.encode, [LONG])) for _ in range(3)]
        await asyncio.sleep(0.01)
        try:
            await asyncio.wait_for(pool.run(tokenizer.encode, ["cat"]), 5)
        finally:
            tokenizer.gate.set()
        assert tokenizer.hops == [[LONG], ["cat"]]
        await asyncio.gather(*long)


async def test_long_texts_get_their_turn_on_a_single_thread(executor: ThreadPoolExecutor) -> None:
    tokenizer = Stuck()
    pool = threads_only(executor, threads=1)
    await asyncio.gather(*(pool.run(tokenizer.encode, [text]) for text in ("cat", LONG, "mat", LONG)))
    assert tokenizer.hops == [["cat", "mat"], [LONG], [LONG]]


async def test_what_would_wait_too_long_is_refused_until_those_before_it_leave(executor: ThreadPoolExecutor) -> None:
    tokenizer = Stuck()
    tokenizer.gate.clear()
    pool = threads_only(executor, threads=1)
    with patch.object(pool_module, "_MOST_WAITING_CHARACTERS", 2 * len(LONG)):
        running, *waiting = [asyncio.create_task(pool.run(tokenizer.encode, [LONG])) for _ in range(2)]
        await asyncio.sleep(0.01)
        waiting += [asyncio.create_task(pool.run(tokenizer.encode, [LONG]))]
        await asyncio.sleep(0.01)
        with pytest.raises(Overloaded):
            await pool.run(tokenizer.encode, [LONG])
        for gone in waiting:
            gone.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        tokenizer.gate.set()
        assert (await pool.run(tokenizer.encode, [LONG]))[0].token_count == 1
        await running
    assert tokenizer.hops == [[LONG], [LONG]]


async def test_a_pool_whose_threads_are_gone_answers(executor: ThreadPoolExecutor) -> None:
    tokenizer, pool = Recording(), threads_only(executor, threads=1)
    executor.shutdown()
    with pytest.raises(InferenceFailed, match="shutting down"):
        await pool.run(tokenizer.encode, ["cat"])


@given(st.lists(st.integers(0, 2 * HOP_CHARACTERS).map(lambda size: "a" * size), max_size=12))
def test_slices_keep_order_and_bound(texts: list[str]) -> None:
    runs = slices(texts)
    assert [text for run in runs for text in run] == texts
    assert all(len(run) == 1 or sum(map(len, run)) <= HOP_CHARACTERS for run in runs)
    assert all(runs)


async def test_a_short_text_is_read_at_once(executor: ThreadPoolExecutor) -> None:
    tokenizer, pool = Recording(), TokenizerPool(executor, threads=1)
    assert (await pool.run(tokenizer.encode, ["the cat"]))[0].token_count == 4
    assert tokenizer.threads == {threading.get_ident()}


async def test_one_turn_of_the_loop_reads_no_more_than_its_share(executor: ThreadPoolExecutor) -> None:
    tokenizer, pool = Recording(), TokenizerPool(executor, threads=1)
    texts = [f"{'cat ' * 25}{number:02}" for number in range(40)]
    results = await asyncio.gather(*(pool.run(tokenizer.encode, [text]) for text in texts))
    assert [result[0].token_count for result in results] == [28] * 40
    at_once = [hop for hop in tokenizer.hops if len(hop) == 1]
    assert sum(len(text) for [text] in at_once) <= TURN_WEIGHT
    assert len(at_once) == TURN_WEIGHT // 103
    assert len(tokenizer.hops) == len(at_once) + 1, "all others share one hop"
    assert tokenizer.threads != {threading.get_ident()}
    tokenizer.threads.clear()
    await pool.run(tokenizer.encode, ["cat"])
    assert tokenizer.threads == {threading.get_ident()}, "the next turn has its own share"


@pytest.mark.parametrize("text", ["cat " * 200, "\ufdfa" * 100, "é" * 129])
async def test_a_text_that_would_hold_the_loop_goes_to_a_thread(executor: ThreadPoolExecutor, text: str) -> None:
    tokenizer, pool = Recording(), TokenizerPool(executor, threads=1)
    await pool.run(tokenizer.encode, [text])
    assert threading.get_ident() not in tokenizer.threads


async def test_a_short_text_passes_those_that_wait_for_a_thread(executor: ThreadPoolExecutor) -> None:
    tokenizer = Stuck()
    tokenizer.gate.clear()
    pool = TokenizerPool(executor, threads=1)
    long = asyncio.create_task(pool.run(tokenizer.encode, [LONG]))
    await asyncio.sleep(0.01)
    try:
        await asyncio.wait_for(pool.run(tokenizer.encode, ["cat"]), 5)
    finally:
        tokenizer.gate.set()
    await long


async def test_a_failure_at_once_is_told_like_one_in_a_thread(executor: ThreadPoolExecutor) -> None:
    tokenizer, pool = Recording(), TokenizerPool(executor, threads=1)
    with pytest.raises(InferenceFailed) as failure:
        await pool.run(tokenizer.encode, ["poison"])
    assert failure.value.code == "tokenizer_failed"
    assert "poison" not in failure.value.message


class Panic(BaseException):
    """As pyo3's `PanicException`, which is no `Exception`."""


@pytest.mark.parametrize("turn_weight", [TURN_WEIGHT, 0], ids=["at once", "in a thread"])
async def test_a_panic_is_told_as_a_failure(executor: ThreadPoolExecutor, turn_weight: int) -> None:
    def panic(_texts: Sequence[str]) -> list[int]:
        raise Panic("called `Option::unwrap()` on a `None` value")

    pool = TokenizerPool(executor, threads=1, turn_weight=turn_weight)
    with pytest.raises(InferenceFailed) as failure:
        await pool.run(panic, ["cat"])
    assert failure.value.code == "tokenizer_failed"


@pytest.mark.parametrize("ending", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
async def test_an_end_that_is_wanted_is_no_failure(executor: ThreadPoolExecutor, ending: type[BaseException]) -> None:
    def end(_texts: Sequence[str]) -> list[int]:
        raise ending

    pool = TokenizerPool(executor, threads=1)
    with pytest.raises(ending):
        await pool.run(end, ["cat"])
