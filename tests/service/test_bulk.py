"""A bulk request in portions: right, in order, and refused as a whole, though some of it is computed by then."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.batching.submission import Outcome
from gateway.caching.shared_rows import Asker
from gateway.errors import DeadlineExceeded, Overloaded, TokenLimitExceeded
from gateway.service.bulk import ComputedRows, portions, read_and_compute
from gateway.text.pool import HOP_CHARACTERS
from gateway.text.reading import Portion
from gateway.text.tokenizer import TextTokenizer, Tokenized
from gateway.types import Input, TextInput, TokenInput, TokenRow
from tests.support.running_service import request, running, until
from tests.support.scripted_engine import ScriptedEngine, vector_of

WORDS = ["the", "cat", "sat", "on", "a", "mat"]


def text_of(number: int) -> str:
    """145 characters and more in 5 to 9 tokens, of which the first stands for a word that nobody knows."""
    words = [WORDS[number // 6**place % 6] for place in range(2 + number % 5)]
    return f"{'x' * 140} {' '.join(words)}"


# Four hops' worth: portions of one, two and one.
TEXTS = [text_of(number) for number in range(4 * HOP_CHARACTERS // 150)]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(states={"tiny": "READY"})


@given(st.lists(st.integers(0, HOP_CHARACTERS), max_size=40), st.booleans())
def test_portions_are_all_inputs_in_order_and_the_first_is_small(sizes: list[int], with_ids: bool) -> None:
    inputs: list[Input] = [TextInput("a" * size) for size in sizes]
    if with_ids:
        inputs.append(TokenInput((1,)))
    parts = portions(inputs)
    assert [one for part in parts for one in part] == inputs
    if with_ids or sum(sizes) <= 2 * HOP_CHARACTERS:
        assert parts == [inputs]
    elif len(parts) > 1:
        lengths = [sum(len(one.text) for one in part if isinstance(one, TextInput)) for part in parts]
        assert lengths[0] < 2 * HOP_CHARACTERS
        assert all(HOP_CHARACTERS * 2**place <= length for place, length in enumerate(lengths[:-1]))


async def test_vectors_are_in_input_order_and_all_tokens_count(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        result = await service.embedding.embed(request(*TEXTS))
        tokenizer = service.models.find(None).reader.tokenizer
    rows = tokenizer.encode(TEXTS)
    assert result.usage.prompt_tokens == sum(one.token_count for one in rows)
    for one, vector in zip(rows, result.vectors, strict=True):
        assert abs(vector - vector_of(one.ids.tolist())).max() < 1e-6


class Gated:
    """A tokenizer's `encode`, which waits for `gate` when it comes to the text `last`."""

    def __init__(self, encode: object, last: str) -> None:
        self.gate = threading.Event()
        self._encode = encode
        self._last = last

    def __call__(self, texts: Sequence[str]) -> list[Tokenized]:
        if self._last in texts:
            assert self.gate.wait(20)
        return self._encode(texts)  # type: ignore[operator, no-any-return]


async def test_the_model_computes_while_texts_are_still_tokenized(
    tmp_path: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, engine, canary_interval_seconds=1000.0) as service:
        await until(lambda: service.readiness.report().ready)
        texts = [*TEXTS, "mat mat mat"]
        gated = Gated(service.models.find(None).reader.tokenizer.encode, texts[-1])
        monkeypatch.setattr(TextTokenizer, "encode", lambda _, some: gated(some))
        calls = len(engine.calls)
        asked = asyncio.create_task(service.embedding.embed(request(*texts)))
        try:
            await until(lambda: len(engine.calls) > calls)
            assert not asked.done()
        finally:
            gated.gate.set()
        assert len((await asked).vectors) == len(texts)


async def test_a_text_that_is_too_long_is_told_by_its_own_number(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        texts = [*TEXTS, "the " * 1000, "cat"]
        with pytest.raises(TokenLimitExceeded, match=f"in input {len(TEXTS)}"):
            await service.embedding.embed(request(*texts))
        scheduler = service.models.all()["tiny"].scheduler
        await until(lambda: scheduler.idle)
        assert len((await service.embedding.embed(request("cat"))).vectors) == 1


async def test_a_request_that_turns_out_too_long_is_refused(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        tokenizer = service.models.find(None).reader.tokenizer
    most = sum(one.token_count for one in tokenizer.encode(TEXTS))
    async with running(tmp_path, engine, max_request_tokens=most) as service:
        assert len((await service.embedding.embed(request(*TEXTS))).vectors) == len(TEXTS)
        with pytest.raises(TokenLimitExceeded, match=f"requested {most + 3} tokens in total"):
            await service.embedding.embed(request(*TEXTS, "cat"))
    async with running(tmp_path, engine, max_request_tokens=most // 2) as service:
        with pytest.raises(TokenLimitExceeded, match="at least"):
            await service.embedding.embed(request(*TEXTS))
        await until(lambda: service.models.all()["tiny"].scheduler.idle)


async def test_a_request_that_was_let_in_is_not_refused_halfway(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine, max_queued_tokens=100) as service:
        await until(lambda: service.readiness.report().ready)
        engine.delay_seconds = 0.05
        assert len((await service.embedding.embed(request(*TEXTS))).vectors) == len(TEXTS)


async def test_the_deadline_holds_for_all_portions(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        await until(lambda: service.readiness.report().ready)
        engine.delay_seconds = 0.5
        with pytest.raises(DeadlineExceeded):
            await service.embedding.embed(request(*TEXTS, seconds=0.3))


@dataclass
class FullQueue:
    """What `read` gives: rows whose first portion is computed, and whose others find no room for `refusals` tries."""

    refusals: float
    tries: int = 0
    rows: Sequence[TokenRow] = field(default_factory=list)

    async def read(self, part: Sequence[Input], portion: Portion) -> FullQueue:
        return self

    async def compute(self, asker: Asker) -> Outcome:
        self.tries += 1
        if 1 < self.tries <= 1 + self.refusals:
            raise Overloaded("full")
        return Outcome([], 0.0, 0.0)

    def start(self, *, seconds: float) -> asyncio.Task[ComputedRows]:
        asker = Asker(time.monotonic() + seconds)
        texts = [TextInput(text) for text in TEXTS]
        return asyncio.create_task(read_and_compute(texts, self.read, asker))  # type: ignore[arg-type]


async def test_it_is_not_refused_either_where_others_fill_the_queue_again_and_again() -> None:
    queue = FullQueue(refusals=8)
    await queue.start(seconds=30)
    assert queue.tries == 8 + 3


async def test_where_there_is_never_room_the_deadline_ends_it_and_it_does_not_ask_all_the_time() -> None:
    queue = FullQueue(refusals=float("inf"))
    with pytest.raises(DeadlineExceeded):
        await queue.start(seconds=0.3)
    assert queue.tries < 40


async def test_who_goes_away_while_there_is_no_room_is_forgotten() -> None:
    queue = FullQueue(refusals=float("inf"))
    task = queue.start(seconds=30)
    await until(lambda: queue.tries > 6)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    tries = queue.tries
    await asyncio.sleep(0.15)
    assert queue.tries == tries
