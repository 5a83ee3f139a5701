"""Writes the output of a rerank job, in the shape that users of RunPod's own embeddings worker know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from gateway.dialects.rerank_request import RerankCall
from gateway.dialects.runpod_embeddings import usage_of
from gateway.dialects.runpod_output_size import OutputBudget
from gateway.types import RerankResult

_SCORE_DECIMALS = 8


def ranking_output(result: RerankResult, call: RerankCall, *, with_documents: bool, max_bytes: int) -> dict[str, Any]:
    """The best documents first, equal ones in the order given; documents are plain strings.

    Raises `InvalidField` where the answer is larger than `max_bytes`.
    """
    rows = list(_results(result, call, with_documents=with_documents))
    OutputBudget(max_bytes).add_list(map(orjson.dumps, rows))
    return {"object": "rerank", "results": rows, "model": result.model, "usage": usage_of(result.usage)}


def _results(result: RerankResult, call: RerankCall, *, with_documents: bool) -> Iterator[dict[str, Any]]:
    for index in np.argsort(-result.scores, kind="stable")[: call.top_n].tolist():
        row = {"relevance_score": round(float(result.scores[index]), _SCORE_DECIMALS), "index": index}
        yield {**row, "document": call.request.documents[index]} if with_documents else row
