"""The whole path behind the HTTP edge, on a scripted engine."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import (
    ConfigurationError,
    DeadlineExceeded,
    EngineUnavailable,
    InferenceFailed,
    InvalidField,
    UnknownModel,
)
from gateway.telemetry.metrics import build_metrics
from gateway.text.pool import TURN_WEIGHT
from gateway.text.tokenizer import TextTokenizer, Tokenized
from gateway.types import Overflow, TokenInput, Vocabulary
from tests.support.running_service import request, running
from tests.support.scripted_engine import SIZE, ScriptedEngine, vector_of
from tests.support.tiny_tokenizer import CLS, SEP, VOCABULARY

WORDS = ["the", "cat", "sat", "on", "a", "mat"]


def ids_of(text: str) -> list[int]:
    return [CLS, *[VOCABULARY[word] for word in text.split()], SEP]


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(states={"tiny": "READY"})


async def test_vectors_come_back_in_input_order_with_usage(tmp_path: Path, engine: ScriptedEngine) -> None:
    texts = [" ".join(random.Random(seed).choices(WORDS, k=seed % 9)) for seed in range(100)]
    async with running(tmp_path, engine) as service:
        result = await service.embedding.embed(request(*texts))
    np.testing.assert_allclose(result.vectors, [vector_of(ids_of(text)) for text in texts], rtol=0, atol=1e-6)
    assert result.usage.prompt_tokens == result.usage.total_tokens == sum(len(ids_of(text)) for text in texts)
    assert (result.model, result.truncated, result.warnings) == ("tiny", 0, ())


@pytest.mark.parametrize("dimensions", [None, 4, SIZE])
async def test_one_text_has_the_vector_that_it_has_among_others(
    tmp_path: Path, engine: ScriptedEngine, dimensions: int | None
) -> None:
    texts = [" ".join(WORDS[:count]) for count in range(1, 6)]
    async with running(tmp_path, engine) as service:
        many = await service.embedding.embed(request(*texts, dimensions=dimensions))
        alone = [await service.embedding.embed(request(text, dimensions=dimensions)) for text in texts]
    assert b"".join(one.vectors.tobytes() for one in alone) == many.vectors.tobytes()
    assert {(one.vectors.shape, one.vectors.dtype, one.vectors.flags.c_contiguous) for one in alone} == {
        ((1, dimensions or SIZE), many.vectors.dtype, True)
    }
    assert sum(one.usage.total_tokens for one in alone) == many.usage.total_tokens
    assert {one.warnings for one in alone} == {many.warnings}


async def test_concurrent_callers_with_cancellations_get_their_own_vectors(
    tmp_path: Path, engine: ScriptedEngine
) -> None:
    engine.delay_seconds = 0.001
    dice = random.Random(5)

    async with running(tmp_path, engine) as service:

        async def caller(number: int) -> None:
            texts = [" ".join(dice.choices(WORDS, k=dice.randint(0, 9))) for _ in range(dice.randint(1, 6))]
            result = await service.embedding.embed(request(*texts))
            np.testing.assert_allclose(result.vectors, [vector_of(ids_of(text)) for text in texts], atol=1e-6)

        tasks = [asyncio.create_task(caller(number)) for number in range(200)]
        for task in tasks[::5]:
            asyncio.get_running_loop().call_later(dice.random() * 0.02, task.cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results), results
    assert sum(result is None for result in results) >= 160


@pytest.mark.parametrize("dimensions", [1, 4, 5, SIZE, None])
async def test_dimensions_cut_and_renormalise(tmp_path: Path, engine: ScriptedEngine, dimensions: int | None) -> None:
    async with running(tmp_path, engine) as service:
        result = await service.embedding.embed(request("cat", dimensions=dimensions))
    kept = vector_of(ids_of("cat"))[:dimensions]
    np.testing.assert_allclose(result.vectors[0], kept / np.linalg.norm(kept), rtol=0, atol=1e-6)
    assert bool(result.warnings) == (dimensions in (1, 5))


@pytest.mark.parametrize("dimensions", [0, -1, SIZE + 1])
async def test_dimensions_out_of_range_are_refused(tmp_path: Path, engine: ScriptedEngine, dimensions: int) -> None:
    async with running(tmp_path, engine) as service:
        with pytest.raises(InvalidField) as refused:
            await service.embedding.embed(request("cat", dimensions=dimensions))
    assert refused.value.param == "dimensions"


async def test_truncation_is_counted(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        result = await service.embedding.embed(request("cat " * 30, "mat", overflow=Overflow.TRUNCATE))
    assert (result.truncated, result.usage.prompt_tokens) == (1, 12 + 3)


async def test_every_name_of_a_model_is_known_in_any_case(tmp_path: Path, engine: ScriptedEngine) -> None:
    engine.states["other"] = "READY"
    async with running(tmp_path, engine, "tiny", "other", "absent") as service:
        for name in ("tiny", "TINY", "acme/Tiny"):
            assert (await service.embedding.embed(request("cat", model=name))).model == "tiny"
        with pytest.raises(UnknownModel, match=r"does not exist.*Served: other, tiny.*absent"):
            await service.embedding.embed(request("cat", model="nope"))
        with pytest.raises(UnknownModel, match=r"does not exist\. Did you mean absent\? Served: "):
            await service.embedding.embed(request("cat", model="absend"))
        with pytest.raises(UnknownModel, match="gateway models pull absent"):
            await service.embedding.embed(request("cat", model="absent"))
        with pytest.raises(InvalidField, match="Served: other, tiny") as refused:
            await service.embedding.embed(request("cat"))
        assert refused.value.param == "model"
        assert [listing.model.name for listing in service.models.list()] == ["other", "tiny"]


async def test_a_missing_name_is_the_default_or_the_only_model(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine, "tiny", "absent") as service:
        assert (await service.embedding.embed(request("cat"))).model == "tiny"
    engine.states["other"] = "READY"
    async with running(tmp_path, engine, "tiny", "other", default_model="acme/OTHER") as service:
        assert (await service.embedding.embed(request("cat"))).model == "other"


async def test_options_that_cannot_be_right_end_the_start(tmp_path: Path, engine: ScriptedEngine) -> None:
    for options in ({"models": ("nope",)}, {"default_model": "nope"}, {"triton_url": "nowhere:http"}):
        with pytest.raises(ConfigurationError):
            async with running(tmp_path, engine, **options):  # type: ignore[arg-type]
                pass


async def test_a_poison_text_fails_alone_among_many(tmp_path: Path, engine: ScriptedEngine) -> None:
    engine.refuse_id = VOCABULARY["漢"]
    async with running(tmp_path, engine) as service:
        texts = ["漢" if number == 7 else "cat mat" for number in range(30)]
        results = await asyncio.gather(
            *(service.embedding.embed(request(text)) for text in texts), return_exceptions=True
        )
    assert [isinstance(result, InferenceFailed) for result in results] == [number == 7 for number in range(30)]


async def test_deadlines_end_requests(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        with pytest.raises(DeadlineExceeded):
            await service.embedding.embed(request("cat", seconds=-1))
        engine.hang = True
        async with asyncio.timeout(5):
            with pytest.raises(DeadlineExceeded):
                await service.embedding.embed(request("cat", seconds=0.05))


async def test_a_deadline_also_ends_the_wait_for_the_tokenizer(
    tmp_path: Path, engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    free.set()
    encode = TextTokenizer.encode

    def blocked(tokenizer: TextTokenizer, texts: Sequence[str]) -> list[Tokenized]:
        free.wait(10)
        return encode(tokenizer, texts)

    monkeypatch.setattr(TextTokenizer, "encode", blocked)
    async with running(tmp_path, engine) as service:
        free.clear()
        try:
            async with asyncio.timeout(5):
                with pytest.raises(DeadlineExceeded):
                    # So long that it is read in a thread: a short one is no wait, as the loop itself reads it.
                    await service.embedding.embed(request("cat " * TURN_WEIGHT, seconds=0.05))
        finally:
            free.set()


async def test_an_empty_list_of_inputs_is_refused(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        with pytest.raises(InvalidField):
            await service.embedding.embed(request())


async def test_no_model_yet_is_unavailable_and_not_unknown(tmp_path: Path) -> None:
    async with running(tmp_path, ScriptedEngine(down=True)) as service:
        for name in (None, "tiny"):
            with pytest.raises(EngineUnavailable):
                await service.embedding.embed(request("cat", model=name))


async def test_token_ids_in_the_models_vocabulary(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        result = await service.embedding.embed(request(TokenInput((VOCABULARY["cat"],), Vocabulary.MODEL), "cat"))
    np.testing.assert_array_equal(result.vectors[0], result.vectors[1])


async def test_what_happened_is_counted(tmp_path: Path, engine: ScriptedEngine) -> None:
    metrics = build_metrics(version="test")
    async with running(tmp_path, engine, metrics=metrics) as service:
        await service.embedding.embed(request("cat", "mat", "the cat sat"))

    def count(name: str) -> float | None:
        return metrics.registry.get_sample_value(f"gateway_{name}", {"model": "tiny"})

    assert count("inputs_total") == 3
    assert count("input_tokens_total") == count("real_tokens_total") == 11
    assert count("padded_tokens_total") == 3 * 5, "to the longest row's length"
    assert count("batch_rows_sum") == 3
    assert count("tokenize_seconds_count") == 1
    assert count("queued_rows") == count("queued_tokens") == count("calls_in_flight") == 0
