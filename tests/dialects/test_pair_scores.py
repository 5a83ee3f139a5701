"""Pairs are scored in their order, those of one query together, and a call of many is held to the limits of one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from gateway.dialects.pair_scores import score_pairs
from gateway.errors import TokenLimitExceeded
from gateway.types import RerankRequest, RerankResult, Usage
from tests.support.instant_services import expected_score


@dataclass
class Counting:
    """A token a character; refuses more than `most` in a call, as the service does."""

    most: int = 10**9
    seen: list[RerankRequest] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    async def rerank(self, request: RerankRequest) -> RerankResult:
        self.seen.append(request)
        tokens = sum(len(request.query) + len(document) for document in request.documents)
        if request.tokens_before + tokens > self.most:
            raise TokenLimitExceeded("Too much.", param="documents")
        self.under_way += tokens
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= tokens
        scores = np.array([expected_score(request.query, document) for document in request.documents], np.float64)
        return RerankResult("m", scores, scores.astype(np.float32), Usage(tokens, tokens))


def request_of(query: str, documents: Sequence[str]) -> RerankRequest:
    return RerankRequest(query=query, documents=documents, deadline=1.0)


async def test_scores_are_in_the_order_of_the_pairs() -> None:
    reranker = Counting()
    pairs = [("q", "a"), ("r", "b"), ("q", "c"), ("q", "a")]
    found = await score_pairs(reranker, pairs, request_of)
    assert found.scores.tolist() == [np.float64(expected_score(*pair)) for pair in pairs]
    assert found.usage == Usage(8, 8)
    assert [(seen.query, list(seen.documents)) for seen in reranker.seen] == [("q", ["a", "c", "a"]), ("r", ["b"])]


async def test_a_call_of_many_pairs_does_not_fill_the_queue() -> None:
    """A megabyte of them, each of another query, would else be under way at once."""
    reranker = Counting()
    pairs = [(f"{number:04}", "x" * 1020) for number in range(1000)]
    found = await score_pairs(reranker, pairs, request_of)
    assert len(found.scores) == 1000
    assert reranker.most_under_way <= 40_000


async def test_the_pairs_of_a_call_count_together() -> None:
    pairs = [(f"{number:04}", "x" * 1020) for number in range(200)]
    await score_pairs(Counting(most=1024 * 200), pairs, request_of)
    reranker = Counting(most=1024 * 100)
    with pytest.raises(TokenLimitExceeded):
        await score_pairs(reranker, pairs, request_of)
    assert len(reranker.seen) <= 100 + 2 * 32
