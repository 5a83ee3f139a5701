"""Writes Jina's rerank answer: the best documents first, each in the form it came in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from gateway.dialects.json_rows import INLINE_BYTES, json_list, written
from gateway.dialects.rerank_request import RerankCall
from gateway.types import RerankResult

_SCORE_DECIMALS = 8
# For Cohere's clients, whose first API has this path too.
_META = b'"meta":{"api_version":{"version":"1"},"billed_units":{"search_units":1}}'
_BYTES_PER_RESULT = 64


async def encode_ranking(
    result: RerankResult, call: RerankCall, *, request_id: str, as_objects: bool = False, as_data: bool = False
) -> bytes:
    """The JSON body for `result`. Large ones are made in a thread. `as_objects` repeats every document as an object,
    whatever it came as; `as_data` has the results under Voyage's name too."""
    expected_bytes = (_BYTES_PER_RESULT * len(result.scores) + repeated_bytes(call)) * (1 + as_data)
    return await written(
        lambda: _encoded(result, call, request_id=request_id, as_objects=as_objects, as_data=as_data),
        expected_bytes=expected_bytes,
    )


def repeated_bytes(call: RerankCall) -> int:
    """About how much of an answer the documents are. How much an object holds beside its text is not looked at: it
    counts as much."""
    if not call.return_documents:
        return 0
    if not all(isinstance(item, str) for item in call.given):
        return INLINE_BYTES
    return sum(map(len, call.request.documents))


def _encoded(result: RerankResult, call: RerankCall, *, request_id: str, as_objects: bool, as_data: bool) -> bytes:
    rows = json_list(ranked(result, call, as_objects=as_objects))
    return b'{"id":%b,"model":%b,"object":"list","usage":{"total_tokens":%d,"prompt_tokens":%d},"results":%b,%b%b}' % (
        orjson.dumps(request_id),
        orjson.dumps(result.model),
        result.usage.total_tokens,
        result.usage.prompt_tokens,
        rows,
        b'"data":%b,' % rows if as_data else b"",
        _META,
    )


def ranked(result: RerankResult, call: RerankCall, *, as_objects: bool = False) -> Iterator[dict[str, Any]]:
    """By falling score; documents of the same score in the order given. `as_objects` gives an object back whole, which
    Cohere's clients rely on, and makes one of a text."""
    scores = result.logits if call.raw_scores else result.scores
    for index in np.argsort(-scores, kind="stable")[: call.top_n].tolist():
        row: dict[str, Any] = {"index": index, "relevance_score": round(float(scores[index]), _SCORE_DECIMALS)}
        if call.return_documents:
            text, given = call.request.documents[index], call.given[index]
            if as_objects:
                row["document"] = {"text": text} | (given if isinstance(given, dict) else {})
            else:
                row["document"] = text if isinstance(given, str) else {"text": text}
        yield row
