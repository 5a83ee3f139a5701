from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InferenceFailed
from gateway.text.pool import HOP_CHARACTERS, TokenizerPool, slices
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


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


async def test_texts_that_wait_together_go_in_one_hop_off_the_loop(executor: ThreadPoolExecutor) -> None:
    tokenizer = Recording()
    pool = TokenizerPool(tokenizer, executor, threads=1)
    results = await asyncio.gather(*(pool.encode([f"{'cat ' * count}"]) for count in range(20)))
    assert [result[0].token_count for result in results] == [2 + count for count in range(20)]
    assert len(tokenizer.hops) == 1
    assert threading.get_ident() not in tokenizer.threads


async def test_texts_pile_up_while_a_hop_runs(executor: ThreadPoolExecutor) -> None:
    tokenizer = Recording()
    tokenizer.gate.clear()
    pool = TokenizerPool(tokenizer, executor, threads=1)
    first = asyncio.create_task(pool.encode(["the"]))
    await asyncio.sleep(0.01)
    others = [asyncio.create_task(pool.encode(["cat"])) for _ in range(10)]
    await asyncio.sleep(0.01)
    tokenizer.gate.set()
    await asyncio.gather(first, *others)
    assert [len(hop) for hop in tokenizer.hops] == [1, 10]


async def test_a_cancelled_caller_is_left_out_and_harms_nobody(executor: ThreadPoolExecutor) -> None:
    tokenizer = Recording()
    tokenizer.gate.clear()
    pool = TokenizerPool(tokenizer, executor, threads=1)
    running = asyncio.create_task(pool.encode(["the"]))
    await asyncio.sleep(0.01)
    gone, stays = (asyncio.create_task(pool.encode([text])) for text in ("mat", "cat sat"))
    await asyncio.sleep(0.01)
    gone.cancel()
    running.cancel()
    await asyncio.sleep(0)
    tokenizer.gate.set()
    assert (await stays)[0].token_count == 4
    assert tokenizer.hops == [["the"], ["cat sat"]]


async def test_a_text_the_tokenizer_fails_on_fails_alone(executor: ThreadPoolExecutor) -> None:
    pool = TokenizerPool(Recording(), executor, threads=1)
    results = await asyncio.gather(
        pool.encode(["cat"]), pool.encode(["poison"]), pool.encode(["mat"]), return_exceptions=True
    )
    assert isinstance(results[1], InferenceFailed)
    assert "poison" not in results[1].message
    assert not isinstance(results[0], BaseException)
    assert not isinstance(results[2], BaseException)
    assert (await pool.encode(["cat"]))[0].token_count == 3


async def test_a_pool_whose_threads_are_gone_answers(executor: ThreadPoolExecutor) -> None:
    pool = TokenizerPool(Recording(), executor, threads=1)
    executor.shutdown()
    with pytest.raises(InferenceFailed, match="shutting down"):
        await pool.encode(["cat"])


@given(st.lists(st.integers(0, 2 * HOP_CHARACTERS).map(lambda size: "a" * size), max_size=12))
def test_slices_keep_order_and_bound(texts: list[str]) -> None:
    runs = slices(texts)
    assert [text for run in runs for text in run] == texts
    assert all(len(run) == 1 or sum(map(len, run)) <= HOP_CHARACTERS for run in runs)
    assert all(runs)
