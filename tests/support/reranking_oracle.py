"""What the published reranker gives for a pair, from its own description and nothing of the gateway's."""

from __future__ import annotations

import math

import numpy as np

from tests.support.twins import reranker_v2


def sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit))


def best_piece_score(
    query: str, document: str, *, max_length: int, max_query_length: int, overlap_tokens: int
) -> float:
    """The model's own `rerank` for one document: overlapping pieces, of which the best one counts."""
    tokenizer = reranker_v2.build().tokenizer()
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=max_query_length)
    query_ids = tokenizer.encode(query).ids
    tokenizer.no_truncation()
    passage = tokenizer.encode(document, add_special_tokens=False).ids
    budget = max_length - len(query_ids) - 2
    overlap = min(overlap_tokens, budget // 4)
    scores, start = [], 0
    while True:
        end = start + budget
        is_last = end >= len(passage)
        piece = passage[-budget:] if is_last and start else passage[start:end]
        row = [*query_ids, 2, *piece, 2]
        assert len(row) <= max_length
        scores.append(sigmoid(reranker_v2.logit(np.array(row))))
        if is_last:
            return max(scores)
        start = end - overlap


def truncated_score(query: str, document: str, *, max_length: int) -> float:
    """The model's own `compute_score`: the tokenizer cuts the pair, longest first."""
    tokenizer = reranker_v2.build().tokenizer()
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=max_length, strategy="longest_first")
    return sigmoid(reranker_v2.logit(np.array(tokenizer.encode(query, document).ids)))
