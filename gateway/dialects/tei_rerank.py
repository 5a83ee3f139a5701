"""TEI's two ways to a reranker: texts by a query, and pairs one by one."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from gateway.dialects.endpoint import Answer, Call
from gateway.dialects.fields import Fields, flag, kind_of, model_name, required_text
from gateway.dialects.inputs import read_text_list
from gateway.dialects.json_rows import json_list, written
from gateway.dialects.pair_scores import Pair, score_pairs
from gateway.dialects.tei_fields import EMPTY, compute_headers, refuse_left
from gateway.errors import InvalidField, TooManyInputs
from gateway.types import Float32Array, Float64Array, LongDocuments, RerankRequest

TEI = "tei"
"""The dialect's name, for paths that it shares."""

LABEL = "LABEL_0"
"""What TEI calls the one class of a reranker."""

_BYTES_PER_RANK = 48


async def tei_rerank(call: Call) -> Answer:
    """The answer of `POST /rerank` with `texts`: a bare list, the best text first."""
    started = time.monotonic()
    fields = call.fields
    query = required_text(fields, "query", what="the text to compare the others with")
    if fields.get("texts") == []:
        raise InvalidField("`texts` cannot be empty. Give at least one text.", param="texts", code=EMPTY)
    texts = read_text_list(fields.get("texts"), name="texts", max_inputs=call.limits.inputs.max_inputs)
    return_text = flag(fields, "return_text", "return_documents", default=False)
    is_raw = flag(fields, "raw_scores", default=False)
    result = await call.wait_for(call.services.reranker.rerank(_request(call, query, texts)))
    call.note(model=result.model, inputs=len(texts), usage=result.usage, stages=result.stages)
    scores = result.logits if is_raw else result.scores
    expected_bytes = _BYTES_PER_RANK * len(texts) + (sum(map(len, texts)) if return_text else 0)
    body = await written(
        lambda: json_list(_ranks(scores, texts if return_text else None)), expected_bytes=expected_bytes
    )
    headers = compute_headers(
        characters=len(query) + sum(map(len, texts)),
        usage=result.usage,
        stages=result.stages,
        seconds=time.monotonic() - started,
    )
    return Answer(body, headers=headers)


def _ranks(scores: Float32Array | Float64Array, texts: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    """By falling score; texts of the same score in the order given."""
    for index in np.argsort(-scores, kind="stable").tolist():
        rank = {"index": index, "score": float(scores[index])}
        yield rank if texts is None else rank | {"text": texts[index]}


async def predict(call: Call) -> Answer:
    """The answer of `POST /predict`: the score of each pair under the one label that a reranker has."""
    started = time.monotonic()
    pairs, is_batch = _pairs(call.fields.get("inputs"), max_inputs=call.limits.inputs.max_inputs)
    is_raw = flag(call.fields, "raw_scores", default=False)
    found = await call.wait_for(score_pairs(call.services.reranker, pairs, partial(_request, call)))
    call.note(model=found.model, inputs=len(pairs), usage=found.usage, stages=found.stages)
    scores = (found.logits if is_raw else found.scores).tolist()
    predictions = [[{"label": LABEL, "score": score}] for score in scores]
    headers = compute_headers(
        characters=sum(len(one) + len(other) for one, other in pairs),
        usage=found.usage,
        stages=found.stages,
        seconds=time.monotonic() - started,
    )
    return Answer(json_list(predictions if is_batch else predictions[0]), headers=headers)


def _pairs(value: Any, *, max_inputs: int) -> tuple[list[Pair], bool]:
    """The pairs, and whether they came as a list of pairs. Raises `InvalidField`, `TooManyInputs`."""
    if value == []:
        raise InvalidField("`inputs` cannot be empty. Give at least one pair of texts.", param="inputs", code=EMPTY)
    is_batch = isinstance(value, list) and isinstance(value[0], list)
    items = value if is_batch else [value]
    if len(items) > max_inputs:
        raise TooManyInputs(f"batch size {len(items)} > maximum allowed batch size {max_inputs}", param="inputs")
    for item in items:
        if not (isinstance(item, list) and len(item) == 2 and all(isinstance(text, str) for text in item)):
            kind = "" if isinstance(item, list) else f", not {kind_of(item)}"
            raise InvalidField(
                "The models that `/predict` reaches are rerankers, which read pairs: 'inputs' has to be a list of two "
                f"texts, or a list of such lists{kind}.",
                param="inputs",
            )
    return [(one, other) for one, other in items], is_batch


def _request(call: Call, query: str, texts: Sequence[str]) -> RerankRequest:
    refuse_left(call.fields)
    return RerankRequest(
        query=query,
        documents=texts,
        deadline=call.deadline,
        model=model_name(call.fields),
        long_documents=_long_documents(call.fields),
        caller=call.caller,
    )


def _long_documents(fields: Fields) -> LongDocuments | None:
    """Cut where that is asked for, read in pieces where it is not wanted, else whatever the server is set to."""
    if fields.get("truncate") is None:
        return None
    return LongDocuments.TRUNCATE if flag(fields, "truncate", default=True) else LongDocuments.CHUNK
