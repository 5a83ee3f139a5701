"""Reranking against the published reranker's own way with long documents, over its twin."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from gateway.cards.schema import ModelKind
from gateway.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidField,
    NotServing,
    TokenLimitExceeded,
    UnknownModel,
)
from gateway.service.reranking import RerankingService
from gateway.types import LongDocuments, RerankRequest, RerankResult
from gateway.vectors.scores import sigmoid as scores_of
from tests.support.reranking_oracle import best_piece_score, sigmoid, truncated_score
from tests.support.tiny_tokenizer import tiny_tokenizer
from tests.support.twin_engine import TwinService, soon, twin_service
from tests.support.twins import reranker_v2

MODEL = "jina-reranker-v2-base-multilingual"
WINDOW, MAX_QUERY, OVERLAP = 96, 48, 80
TOLERANCE = 1e-5
WORDS = (
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "dog",
    "你好",
    "世界",
    "é🙂",
    "skin",
    "organic",
    "apples.",
    "と",
    "search,",
)


def text(tokens: int, seed: int) -> str:
    """A text of about so many tokens."""
    dice = random.Random(seed)
    return " ".join(dice.choice(WORDS) for _ in range(max(tokens // 2, 1)))


async def scored(
    twin: TwinService, query: str, *documents: str, setting: LongDocuments = LongDocuments.CHUNK, **fields: object
) -> RerankResult:
    service = RerankingService(twin.service.models, metrics=twin.metrics, long_documents=setting)
    given = {"deadline": soon(), **fields}
    return await service.rerank(RerankRequest(query=query, documents=documents, **given))  # type: ignore[arg-type]


def lengths(twin: TwinService) -> list[int]:
    return [int(row.sum()) for call in twin.engine.calls for row in call.inputs["attention_mask"]]


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[TwinService]:
    async with twin_service(tmp_path, MODEL) as twin:
        yield twin


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[TwinService]:
    async with twin_service(tmp_path, MODEL, max_tokens=WINDOW, overlap_tokens=OVERLAP) as twin:
        yield twin


async def test_short_documents_have_the_sigmoid_of_their_logit(whole: TwinService) -> None:
    documents = [text(tokens, seed) for seed, tokens in enumerate((2, 5, 30, 60))] + [""]
    result = await scored(whole, "organic skin care", *documents)
    wanted = [sigmoid(reranker_v2.logit(reranker_v2.pair_ids("organic skin care", one))) for one in documents]
    np.testing.assert_allclose(result.scores, wanted, rtol=0, atol=TOLERANCE)
    assert result.scores.dtype == np.float64
    assert result.model == MODEL
    assert len(set(np.round(result.scores, 6))) == len(documents), "a softmax over one logit would be 1 for all"
    assert result.usage.total_tokens == sum(len(reranker_v2.pair_ids("organic skin care", one)) for one in documents)


@pytest.mark.parametrize("query_tokens", [2, 20, 47, 200])
async def test_long_documents_count_by_their_best_piece(small: TwinService, query_tokens: int) -> None:
    query = text(query_tokens, 1)
    documents = [text(tokens, seed) for seed, tokens in enumerate((10, 40, 50, 90, 91, 93, 130, 200, 500))]
    result = await scored(small, query, *documents)
    wanted = [
        best_piece_score(query, one, max_length=WINDOW, max_query_length=MAX_QUERY, overlap_tokens=OVERLAP)
        for one in documents
    ]
    np.testing.assert_allclose(result.scores, wanted, rtol=0, atol=TOLERANCE)
    assert max(lengths(small)) <= WINDOW
    assert sum(lengths(small)) == result.usage.total_tokens == result.usage.prompt_tokens


async def test_the_best_piece_may_be_any(small: TwinService) -> None:
    """Where only the beginning was read, or only the mean or the end, some of these would be others."""
    for seed in range(12):
        document = text(300, seed)
        [score] = (await scored(small, "the fox", document)).scores
        wanted = best_piece_score(
            "the fox", document, max_length=WINDOW, max_query_length=MAX_QUERY, overlap_tokens=OVERLAP
        )
        np.testing.assert_allclose(score, wanted, rtol=0, atol=TOLERANCE)


async def test_positions_stop_at_the_models_window_and_no_row_goes_beyond(whole: TwinService) -> None:
    query, document = text(700, 1), text(5000, 2)
    result = await scored(whole, query, document, text(900, 3))
    wanted = [
        best_piece_score(query, one, max_length=1024, max_query_length=512, overlap_tokens=80)
        for one in (document, text(900, 3))
    ]
    np.testing.assert_allclose(result.scores, wanted, rtol=0, atol=TOLERANCE)
    assert max(lengths(whole)) == 1024
    for call in whole.engine.calls:
        assert call.inputs["input_ids"].shape[1] <= 1024, "padding has positions too"


@pytest.mark.parametrize("query_tokens", [2, 46, 48, 50, 300])
async def test_truncation_is_the_tokenizers_own_longest_first(small: TwinService, query_tokens: int) -> None:
    query = text(query_tokens, 1)
    documents = [text(tokens, seed) for seed, tokens in enumerate((3, 44, 46, 48, 90, 300, 1000))]
    result = await scored(small, query, *documents, long_documents=LongDocuments.TRUNCATE)
    wanted = [truncated_score(query, one, max_length=WINDOW) for one in documents]
    np.testing.assert_allclose(result.scores, wanted, rtol=0, atol=TOLERANCE)
    assert len(lengths(small)) == len(documents)
    assert max(lengths(small)) <= WINDOW


async def test_the_setting_says_how_where_the_request_does_not(small: TwinService) -> None:
    document = text(400, 5)
    by_setting = await scored(small, "the fox", document, setting=LongDocuments.TRUNCATE)
    assert by_setting.scores[0] == pytest.approx(truncated_score("the fox", document, max_length=WINDOW), abs=TOLERANCE)
    by_request = await scored(
        small, "the fox", document, setting=LongDocuments.TRUNCATE, long_documents=LongDocuments.CHUNK
    )
    assert by_request.usage.total_tokens > by_setting.usage.total_tokens


@pytest.mark.parametrize("way", LongDocuments)
async def test_documents_are_cut_before_anything_else(small: TwinService, way: LongDocuments) -> None:
    document = text(400, 6)
    tokenizer = reranker_v2.build().tokenizer()
    tokenizer.no_truncation()
    tokenizer.no_padding()
    encoding = tokenizer.encode(document, add_special_tokens=False)
    beginning = document[: encoding.offsets[29][1]]
    assert tokenizer.encode(beginning, add_special_tokens=False).ids == encoding.ids[:30]
    query = text(45, 2)
    cut = await scored(small, query, document, long_documents=way, max_document_tokens=30)
    alone = await scored(small, query, beginning, long_documents=way)
    np.testing.assert_allclose(cut.scores, alone.scores, rtol=0, atol=TOLERANCE)
    assert cut.usage == alone.usage


async def test_very_small_and_very_large_scores_keep_their_order() -> None:
    logits = np.array([-1000.0, -80.0, -20.0, 0.0, 17.0, 20.0, 1000.0], dtype=np.float32)
    scores = scores_of(logits)
    assert (np.diff(scores[:-1]) > 0).all()
    assert scores[3] == 0.5
    assert ((scores >= 0) & (scores <= 1)).all()


async def test_what_cannot_be_ranked_is_refused_with_the_field(small: TwinService) -> None:
    for query, documents, param in (
        ("", ["the dog"], "query"),
        (" \n", ["the dog"], "query"),
        ("\ud800", ["the dog"], "query"),
        ("the fox", [], "documents"),
        ("the fox", ["the dog", "\udfff"], "documents"),
    ):
        with pytest.raises(InvalidField) as refused:
            await scored(small, query, *documents)
        assert refused.value.param == param
    assert small.engine.calls == []


async def test_empty_documents_have_a_score_unless_the_operator_refuses_them(tmp_path: Path) -> None:
    async with twin_service(tmp_path, MODEL, strict_empty=True) as strict:
        with pytest.raises(InvalidField, match="Document 1 is an empty string"):
            await scored(strict, "the fox", "the dog", "")


async def test_more_tokens_than_a_request_may_have_are_refused_before_anything_is_computed(tmp_path: Path) -> None:
    async with twin_service(tmp_path, MODEL, max_tokens=WINDOW, max_request_tokens=500) as twin:
        assert 250 < (await scored(twin, "the fox", *["the dog " * 10] * 12)).usage.total_tokens <= 500
        twin.engine.calls.clear()
        for documents in (["the dog " * 10] * 30, ["the dog " * 300], ["the dog " * 1_000_000, "fox"]):
            with pytest.raises(TokenLimitExceeded, match="500 tokens per request") as refused:
                await scored(twin, "the fox", *documents)
            assert refused.value.param == "documents"
        cut = await scored(twin, "the fox", "the dog " * 1_000_000, long_documents=LongDocuments.TRUNCATE)
        assert cut.usage.total_tokens == WINDOW
        assert lengths(twin) == [WINDOW]


async def test_the_tokens_of_requests_before_it_in_the_same_call_count_too(tmp_path: Path) -> None:
    async with twin_service(tmp_path, MODEL, max_tokens=WINDOW, max_request_tokens=500) as twin:
        alone = await scored(twin, "the fox", "the dog")
        room = 500 - alone.usage.total_tokens
        assert (await scored(twin, "the fox", "the dog", tokens_before=room)).usage == alone.usage
        with pytest.raises(TokenLimitExceeded, match="you requested 501 tokens"):
            await scored(twin, "the fox", "the dog", tokens_before=room + 1)


async def test_each_caller_gets_the_scores_of_its_own_documents(small: TwinService) -> None:
    async def caller(number: int) -> None:
        query, documents = (
            text(3 + number % 9, number),
            [text(1 + 40 * (seed % 5), seed) for seed in range(number % 7 + 1)],
        )
        wanted = [
            best_piece_score(query, one, max_length=WINDOW, max_query_length=MAX_QUERY, overlap_tokens=OVERLAP)
            for one in documents
        ]
        result = await scored(small, query, *documents)
        np.testing.assert_allclose(result.scores, wanted, rtol=0, atol=TOLERANCE)

    await asyncio.gather(*(caller(number) for number in range(24)))
    assert len(small.engine.calls) < len(lengths(small)), "rows of several callers share calls"


async def test_scores_that_are_no_numbers_are_errors(small: TwinService) -> None:
    small.engine.broken = True
    with pytest.raises(InferenceFailed, match="NaN"):
        await scored(small, "the fox", "the dog")


async def test_a_tokenizer_that_takes_too_long_is_not_waited_for(
    small: TwinService, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, held = small.service.models.find(MODEL, ModelKind.RERANKER).reader, threading.Event()
    monkeypatch.setattr(reader.pool, "_most_a_turn", 0)
    monkeypatch.setattr(reader.tokenizer, "encode_bare", lambda _, most: held.wait(60))
    try:
        with pytest.raises(DeadlineExceeded):
            await scored(small, "the fox", "the dog", deadline=soon(0.1))
    finally:
        held.set()
    assert small.engine.calls == []


async def test_a_deadline_that_has_passed_is_told_so(small: TwinService) -> None:
    with pytest.raises(DeadlineExceeded):
        await scored(small, "the fox", "the dog", deadline=soon(-1))


async def test_inputs_and_tokens_are_counted(small: TwinService) -> None:
    result = await scored(small, "the fox", "the dog", text(300, 1))
    await asyncio.sleep(0)  # counted behind the answer
    count = small.metrics.registry.get_sample_value
    assert count("gateway_inputs_total", {"model": MODEL}) == 2
    assert count("gateway_input_tokens_total", {"model": MODEL}) == result.usage.total_tokens


async def test_models_of_the_other_kind_are_refused(tmp_path: Path) -> None:
    async with twin_service(tmp_path, MODEL, "jina-embeddings-v3") as twin:
        assert (await scored(twin, "the fox", "the dog")).model == MODEL
        with pytest.raises(InvalidField, match="/v1/embeddings"):
            await scored(twin, "the fox", "the dog", model="jina-embeddings-v3")
        with pytest.raises(UnknownModel):
            await scored(twin, "the fox", "the dog", model="nope")


async def test_a_reranker_whose_tokenizer_knows_no_pairs_is_not_served_and_why_is_told(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer().to_str().encode()
    async with twin_service(tmp_path, MODEL, tokenizer=tokenizer, is_ready=False) as twin:
        health = twin.service.readiness.report().models[MODEL]
        assert "no special token between a query and a document" in health.reason
        with pytest.raises(NotServing):
            await scored(twin, "the fox", "the dog")
