"""The ranking: order, ties, decimals, the document's form, and what is left out."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.rerank_request import parse_rerank_call
from gateway.dialects.rerank_response import encode_ranking
from gateway.types import RerankResult, Usage


async def ranked(scores: list[float], **fields: Any) -> dict[str, Any]:
    """The logits are twice the scores, less one."""
    documents = fields.pop("documents", [f"d{index}" for index in range(len(scores))])
    as_objects = fields.pop("as_objects", False)
    call = parse_rerank_call({"query": "q", "documents": documents, **fields}, max_inputs=10_000, deadline=1.0)
    given_scores = np.array(scores, np.float32)
    result = RerankResult(model="m", scores=given_scores, logits=2 * given_scores - 1, usage=Usage(7, 7))
    answer: dict[str, Any] = json.loads(await encode_ranking(result, call, request_id='id "1"', as_objects=as_objects))
    return answer


async def test_the_whole_answer() -> None:
    documents = ["a", {"text": "b", "id": 3}, "c"]
    assert await ranked([0.25, 0.75, 0.5], documents=documents) == {
        "id": 'id "1"',
        "model": "m",
        "object": "list",
        "usage": {"total_tokens": 7, "prompt_tokens": 7},
        "results": [
            {"index": 1, "relevance_score": 0.75, "document": {"text": "b"}},
            {"index": 2, "relevance_score": 0.5, "document": "c"},
            {"index": 0, "relevance_score": 0.25, "document": "a"},
        ],
        "meta": {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}},
    }


async def test_documents_that_are_not_asked_for_are_left_out_not_null() -> None:
    answer = await ranked([0.5], return_documents=False)
    assert answer["results"] == [{"index": 0, "relevance_score": 0.5}]


async def test_as_objects_texts_are_made_some_and_objects_come_back_whole() -> None:
    documents = ["a", {"text": "b", "id": 3}, {"title": "c", "text": "d"}, {"title": "e"}]
    fields = {"rank_fields": ["title"], "as_objects": True}
    rows = (await ranked([0.2, 0.1], documents=documents[:2], as_objects=True))["results"]
    assert [row["document"] for row in rows] == [{"text": "a"}, {"text": "b", "id": 3}]
    rows = (await ranked([0.2, 0.1], documents=documents[2:], **fields))["results"]
    assert [row["document"] for row in rows] == [{"title": "c", "text": "d"}, {"text": "e", "title": "e"}]
    rows = (await ranked([0.2, 0.1], documents=documents[2:], rank_fields=["title"]))["results"]
    assert [row["document"] for row in rows] == [{"text": "c"}, {"text": "e"}]


@pytest.mark.parametrize("fields", [{"raw_scores": True}, {"use_activation": False}])
async def test_raw_scores_are_what_the_model_gave(fields: dict[str, bool]) -> None:
    rows = (await ranked([0.25, 0.75], **fields))["results"]
    assert [(row["index"], row["relevance_score"]) for row in rows] == [(1, 0.5), (0, -0.5)]
    assert await ranked([0.25], raw_scores=None) == await ranked([0.25], raw_scores=False) == await ranked([0.25])


@pytest.mark.parametrize(("top_n", "indices"), [(1, [2]), (2, [2, 0]), (3, [2, 0, 1]), (0, [2, 0, 1]), (99, [2, 0, 1])])
async def test_the_best_ones_come_first(top_n: int, indices: list[int]) -> None:
    answer = await ranked([0.5, 0.1, 0.9], top_n=top_n)
    assert [row["index"] for row in answer["results"]] == indices


async def test_documents_of_one_score_keep_their_order() -> None:
    answer = await ranked([0.5, 0.9, 0.5, 0.9, 0.5])
    assert [row["index"] for row in answer["results"]] == [1, 3, 0, 2, 4]


async def test_scores_have_eight_decimals() -> None:
    [row] = (await ranked([1 / 3]))["results"]
    assert row["relevance_score"] == round(float(np.float32(1 / 3)), 8) == 0.33333334


async def test_large_rankings_made_in_a_thread_are_the_same() -> None:
    scores = np.random.default_rng(1).random(3000).tolist()
    documents = [f"{index} " * 200 for index in range(3000)]
    answer = await ranked(scores, documents=documents)
    assert [row["document"] for row in answer["results"]] == [documents[row["index"]] for row in answer["results"]]


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20), st.integers(0, 25))
async def test_any_ranking_is_sorted_and_complete(scores: list[float], top_n: int) -> None:
    results = (await ranked(scores, top_n=top_n))["results"]
    given_scores = [row["relevance_score"] for row in results]
    assert given_scores == sorted(given_scores, reverse=True)
    assert len(results) == min(top_n or len(scores), len(scores))
    assert len({row["index"] for row in results}) == len(results)
    assert all(row["relevance_score"] == round(scores[row["index"]], 8) for row in results)
