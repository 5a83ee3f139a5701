"""Scores of pairs of texts by a reranker, which itself takes one query and many documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gateway.dialects.base import Reranker
from gateway.dialects.side_by_side import side_by_side, together
from gateway.types import Float64Array, RerankRequest, RerankResult, StageSeconds, Usage

Pair = tuple[str, str]
RequestOf = Callable[[str, Sequence[str]], RerankRequest]
"""The request for a query and the documents to score by it."""

_CHARACTERS_AT_ONCE = 32 * 1024


@dataclass(frozen=True, slots=True)
class PairScores:
    """`scores`, from 0 to 1, and `logits` are float64 [pairs], in the order of the pairs."""

    model: str
    scores: Float64Array
    logits: Float64Array
    usage: Usage
    stages: StageSeconds


async def score_pairs(reranker: Reranker, pairs: Sequence[Pair], request_of: RequestOf) -> PairScores:
    """Pairs with the same first text go to the model together, and others beside them, as many as are read in some ten
    milliseconds: of a call that turns out to be too long, not everything is under way by then.

    Raises what the reranker raises, of several failures the first.
    """
    places: dict[str, list[int]] = {}
    for place, (query, _) in enumerate(pairs):
        places.setdefault(query, []).append(place)
    requests = [request_of(query, [pairs[place][1] for place in own]) for query, own in places.items()]
    results: list[RerankResult] = []
    for some in _portions(requests):
        tokens = sum(result.usage.total_tokens for result in results)
        results += await side_by_side([_rerank(reranker, replace(one, tokens_before=tokens)) for one in some])
    scores, logits = np.empty(len(pairs)), np.empty(len(pairs))
    for own, result in zip(places.values(), results, strict=True):
        scores[own], logits[own] = result.scores, result.logits
    usage, stages = together((result.usage, result.stages) for result in results)
    return PairScores(results[0].model, scores, logits, usage, stages)


def _portions(requests: Sequence[RerankRequest]) -> Iterator[Sequence[RerankRequest]]:
    """Runs of about `_CHARACTERS_AT_ONCE`, of one request at least."""
    start = characters = 0
    for place, request in enumerate(requests):
        characters += len(request.query) + sum(map(len, request.documents))
        if characters >= _CHARACTERS_AT_ONCE or place + 1 == len(requests):
            yield requests[start : place + 1]
            start, characters = place + 1, 0


async def _rerank(reranker: Reranker, request: RerankRequest) -> RerankResult:
    return await reranker.rerank(request)
