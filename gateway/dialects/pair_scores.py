"""Scores of pairs of texts by a reranker, which itself takes one query and many documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.dialects.base import Reranker
from gateway.dialects.side_by_side import side_by_side, together
from gateway.types import Float64Array, RerankRequest, RerankResult, StageSeconds, Usage

Pair = tuple[str, str]
RequestOf = Callable[[str, Sequence[str]], RerankRequest]
"""The request for a query and the documents to score by it."""


@dataclass(frozen=True, slots=True)
class PairScores:
    """`scores`, from 0 to 1, and `logits` are float64 [pairs], in the order of the pairs."""

    model: str
    scores: Float64Array
    logits: Float64Array
    usage: Usage
    stages: StageSeconds


async def score_pairs(reranker: Reranker, pairs: Sequence[Pair], request_of: RequestOf) -> PairScores:
    """Pairs with the same first text go to the model together. Raises what the reranker raises, of several failures the
    first."""
    places: dict[str, list[int]] = {}
    for place, (query, _) in enumerate(pairs):
        places.setdefault(query, []).append(place)
    requests = [request_of(query, [pairs[place][1] for place in own]) for query, own in places.items()]
    results = await side_by_side([_rerank(reranker, request) for request in requests])
    scores, logits = np.empty(len(pairs)), np.empty(len(pairs))
    for own, result in zip(places.values(), results, strict=True):
        scores[own], logits[own] = result.scores, result.logits
    usage, stages = together((result.usage, result.stages) for result in results)
    return PairScores(results[0].model, scores, logits, usage, stages)


async def _rerank(reranker: Reranker, request: RerankRequest) -> RerankResult:
    return await reranker.rerank(request)
