"""Fewer tokens of an input than the model reads. Oracle: the tokenizer library's own truncation, to either side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gateway.errors import InvalidField
from gateway.service.reranking import RerankingService
from gateway.types import LongDocuments, Overflow, RerankRequest, TokenInput, Vocabulary
from tests.support.running_service import request, running
from tests.support.scripted_engine import ScriptedEngine, logit_of, vector_of
from tests.support.tiny_models import adapter_card, reranker_card, tiny_model
from tests.support.tiny_tokenizer import CLS, SEP, VOCABULARY, tiny_tokenizer
from tests.support.twin_engine import soon

WINDOW = 12
LONG = "the cat sat on a mat the mat sat on a cat"
END, START = Overflow.TRUNCATE, Overflow.TRUNCATE_START


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(states={"tiny": "READY"})


def truncated(text: str, most: int, overflow: Overflow) -> list[int]:
    tokenizer = tiny_tokenizer()
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=most, direction="left" if overflow is START else "right")
    return list(tokenizer.encode(text).ids)


@pytest.mark.parametrize("overflow", [END, START])
@pytest.mark.parametrize("most", [3, 4, 7, 11, 12])
async def test_texts_and_ids_are_cut_as_the_tokenizer_itself_would(
    tmp_path: Path, engine: ScriptedEngine, overflow: Overflow, most: int
) -> None:
    ids = TokenInput(tuple(VOCABULARY[word] for word in LONG.split()), Vocabulary.MODEL)
    async with running(tmp_path, engine) as service:
        result = await service.embedding.embed(
            request(LONG, ids, "cat", "the cat sat", overflow=overflow, max_input_tokens=most)
        )
    kept = [truncated(text, most, overflow) for text in (LONG, LONG, "cat", "the cat sat")]
    np.testing.assert_allclose(result.vectors, [vector_of(ids) for ids in kept], rtol=0, atol=1e-6)
    assert result.usage.total_tokens == sum(map(len, kept))
    assert result.truncated == (2 if most >= 5 else 3)


async def test_a_text_cut_by_its_bytes_first_is_cut_the_same(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine, max_text_bytes=1024) as service:
        result = await service.embedding.embed(request("mat " * 5000, overflow=END, max_input_tokens=5))
    np.testing.assert_allclose(result.vectors, [vector_of([CLS, *[VOCABULARY["mat"]] * 3, SEP])], rtol=0, atol=1e-6)


@pytest.mark.parametrize("overflow", [END, START])
async def test_a_tasks_prefix_counts_and_stays_where_the_end_is_kept(tmp_path: Path, overflow: Overflow) -> None:
    engine = ScriptedEngine(states={"adapters": "READY"})
    async with running(tmp_path, engine, known=[tiny_model(adapter_card(tmp_path))]) as service:
        result = await service.embedding.embed(
            request("sat on a mat", side="query", overflow=overflow, max_input_tokens=6)
        )
    words = "the cat sat on" if overflow is END else "the cat a mat"
    kept = [CLS, *[VOCABULARY[word] for word in words.split()], SEP]
    np.testing.assert_allclose(result.vectors, [vector_of(kept, 0)], rtol=0, atol=1e-6)


@pytest.mark.parametrize("most", [1, 2, 13, 10**9])
async def test_lengths_that_cannot_be_are_refused(tmp_path: Path, engine: ScriptedEngine, most: int) -> None:
    async with running(tmp_path, engine) as service:
        with pytest.raises(InvalidField, match="must be from 3 to 12 for the model tiny, or -1") as refused:
            await service.embedding.embed(request("cat", overflow=END, max_input_tokens=most))
    assert refused.value.param == "truncate_prompt_tokens"


async def test_so_few_that_a_tasks_prefix_is_all_that_is_left_are_refused(tmp_path: Path) -> None:
    """All texts would have the same vector."""
    engine = ScriptedEngine(states={"adapters": "READY"})
    async with running(tmp_path, engine, known=[tiny_model(adapter_card(tmp_path))]) as service:
        with pytest.raises(InvalidField, match="must be from 5 to 12"):
            await service.embedding.embed(request("sat on", side="query", overflow=END, max_input_tokens=4))
        least = await service.embedding.embed(request("sat on", side="query", overflow=END, max_input_tokens=5))
        other = await service.embedding.embed(request("sat on", task="separation", overflow=END, max_input_tokens=3))
    kept = [CLS, *[VOCABULARY[word] for word in ("the", "cat", "sat")], SEP]
    np.testing.assert_allclose(least.vectors, [vector_of(kept, 0)], rtol=0, atol=1e-6)
    np.testing.assert_allclose(other.vectors, [vector_of([CLS, VOCABULARY["sat"], SEP], 2)], rtol=0, atol=1e-6)


async def test_a_document_read_as_a_whole_is_not_cut(tmp_path: Path, engine: ScriptedEngine) -> None:
    async with running(tmp_path, engine) as service:
        with pytest.raises(InvalidField, match="late_chunking"):
            await service.embedding.embed(request("cat", late_chunking=True, overflow=END, max_input_tokens=5))


@pytest.fixture
async def reranking(tmp_path: Path) -> AsyncIterator[RerankingService]:
    engine = ScriptedEngine(states={"reranker": "READY"})
    async with running(tmp_path, engine, known=[tiny_model(reranker_card(tmp_path))]) as service:
        yield service.reranking


async def logits(service: RerankingService, *documents: str, **fields: object) -> list[float]:
    asked = RerankRequest(
        query="the cat", documents=documents, deadline=soon(), long_documents=LongDocuments.TRUNCATE, **fields
    )  # type: ignore[arg-type]
    return (await service.rerank(asked)).logits.tolist()


@pytest.mark.parametrize(("most", "words"), [(None, "sat on a mat the mat"), (8, "sat on"), (9, "sat on a")])
async def test_pairs_are_cut_to_fewer_tokens_longest_first(
    reranking: RerankingService, most: int | None, words: str
) -> None:
    kept = [CLS, VOCABULARY["the"], VOCABULARY["cat"], SEP, SEP, *[VOCABULARY[word] for word in words.split()], SEP]
    found = await logits(reranking, "sat on a mat the mat sat on a cat", max_pair_tokens=most)
    assert found == pytest.approx([logit_of(kept)], abs=1e-6)


@pytest.mark.parametrize("most", [5, 13])
async def test_pairs_that_cannot_be_are_refused(reranking: RerankingService, most: int) -> None:
    with pytest.raises(InvalidField, match="must be from 6 to 12 for the model reranker, or -1"):
        await logits(reranking, "sat", max_pair_tokens=most)
