"""vLLM's scores of pairs: by a reranker, or by the cosine of an embedding model's vectors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from gateway.cards.schema import ModelKind
from gateway.dialects.embeddings_request import SIDE_NAMES, TASK_NAMES
from gateway.dialects.endpoint import Answer, Call
from gateway.dialects.fields import Fields, flag, model_name, whole_number, word
from gateway.dialects.input_objects import UNSUPPORTED
from gateway.dialects.json_rows import json_list, written
from gateway.dialects.pair_scores import score_pairs
from gateway.dialects.side_by_side import side_by_side, together
from gateway.dialects.vllm_fields import TRUNCATE, cut_to, pairs_cut_to
from gateway.dialects.vllm_pairs import BY_SIDES, Item, ScoreCall, parse_score_call
from gateway.dialects.vllm_usage import vllm_usage
from gateway.errors import EngineUnavailable, InvalidField, UnknownModel
from gateway.telemetry.callers import key_defaults_of
from gateway.types import (
    EmbedRequest,
    EmbedResult,
    Float64Array,
    Overflow,
    RerankRequest,
    StageSeconds,
    TextInput,
    Usage,
)

WRONG_KIND = "wrong_model_kind"
MAX_DOCUMENT_TOKENS = "max_tokens_per_doc"
MAX_QUERY_TOKENS = "max_tokens_per_query"

_BYTES_PER_SCORE = 56


@dataclass(frozen=True, slots=True)
class _Scores:
    model: str
    values: Float64Array
    usage: Usage
    stages: StageSeconds
    warnings: tuple[str, ...] = ()


async def score(call: Call) -> Answer:
    """The answer of `POST /score`: one score a pair, in their order."""
    asked = parse_score_call(call.fields, limits=call.limits.inputs)
    scores = await call.wait_for(_scored(call, asked))
    call.note(model=scores.model, inputs=len(asked.documents), usage=scores.usage, stages=scores.stages)
    values = scores.values.tolist()
    start = orjson.dumps(
        {
            "id": f"score-{call.request_id}",
            "object": "list",
            "created": int(time.time()),
            "model": scores.model,
            "usage": vllm_usage(scores.usage),
        }
    )
    items = ({"index": index, "object": "score", "score": value} for index, value in enumerate(values))
    body = await written(
        lambda: b'%b,"data":%b}' % (start[:-1], json_list(items)), expected_bytes=_BYTES_PER_SCORE * len(values)
    )
    return Answer(body, warnings=scores.warnings)


async def _scored(call: Call, asked: ScoreCall) -> _Scores:
    kind = _kind(call)
    if kind is not ModelKind.RERANKER:
        try:
            return await _by_vectors(call, asked)
        except InvalidField as error:
            if kind is not None or error.code != WRONG_KIND:
                raise
    return await _by_reranker(call, asked)


def _kind(call: Call) -> ModelKind | None:
    """What scores: the kind of the model that the request or the caller's key names; else a reranker, where one is
    served. None for a model that is not served now: who is asked for it may bring it, or knows why not."""
    defaults = key_defaults_of(call.scope)
    name = model_name(call.fields) or (defaults.model if defaults is not None else None)
    models = call.services.models
    if name is not None:
        try:
            return models.resolve(name).model.card.kind
        except (UnknownModel, EngineUnavailable):
            return None
    kinds = {listing.model.card.kind for listing in models.list()}
    return ModelKind.RERANKER if ModelKind.RERANKER in kinds else ModelKind.EMBEDDING


async def _by_reranker(call: Call, asked: ScoreCall) -> _Scores:
    """The model's own score from 0 to 1, or with `use_activation` false its logit."""
    is_raw = not flag(call.fields, "use_activation", default=True)
    _refuse_lengths(call.fields, MAX_QUERY_TOKENS)
    texts = [(_text(query, asked.names[0]), _text(document, asked.names[1])) for query, document in asked.pairs()]
    long_documents, most = pairs_cut_to(call.fields)
    most_of_document = _length(call.fields, MAX_DOCUMENT_TOKENS)

    def request_of(query: str, documents: Sequence[str]) -> RerankRequest:
        return RerankRequest(
            query=query,
            documents=documents,
            deadline=call.deadline,
            model=model_name(call.fields),
            long_documents=long_documents,
            max_document_tokens=most_of_document,
            max_pair_tokens=most,
            caller=call.caller,
        )

    found = await score_pairs(call.services.reranker, texts, request_of)
    return _Scores(found.model, found.logits if is_raw else found.scores, found.usage, found.stages)


def _length(fields: Fields, name: str) -> int | None:
    return whole_number(fields, name, minimum=0, otherwise="0 reads texts as they are.") or None


def _refuse_lengths(fields: Fields, *names: str) -> None:
    for name in names:
        if _length(fields, name) is not None:
            raise InvalidField(
                f"'{name}' is not served by this model. Leave it out, or cut both texts of a pair by '{TRUNCATE}'.",
                param=name,
            )


def _text(item: Item, name: str) -> str:
    if isinstance(item, TextInput):
        return item.text
    raise InvalidField(f"'{name}' holds an image, and the rerankers here read text only.", param=name, code=UNSUPPORTED)


async def _by_vectors(call: Call, asked: ScoreCall) -> _Scores:
    """The cosine of each pair. `queries` are embedded as queries and what goes with them as documents, unless the
    request says what the vectors are for, or names neither side."""
    sides = ("query", "document") if asked.names[0] == BY_SIDES else (None, None)
    one, other = await side_by_side(
        [
            _vectors(call, asked.queries, side=sides[0]),
            _vectors(call, asked.documents, side=sides[1]),
        ]
    )
    cosines = np.einsum("ij,ij->i", *np.broadcast_arrays(_exact(one), _exact(other)))
    usage, stages = together([(one.usage, one.stages), (other.usage, other.stages)])
    warnings = tuple(dict.fromkeys((*one.warnings, *other.warnings)))
    return _Scores(one.model, np.clip(cosines, -1.0, 1.0), usage, stages, warnings)


def _exact(result: EmbedResult) -> Float64Array:
    return result.vectors.astype(np.float64)


async def _vectors(call: Call, items: Sequence[Item], *, side: str | None) -> EmbedResult:
    fields = call.fields
    _refuse_lengths(fields, MAX_QUERY_TOKENS, MAX_DOCUMENT_TOKENS)
    task, named_side = word(fields, *TASK_NAMES), word(fields, *SIDE_NAMES)
    overflow, most = cut_to(fields, overflow=Overflow.REFUSE)
    request = EmbedRequest(
        inputs=items,
        deadline=call.deadline,
        model=model_name(fields),
        overflow=overflow,
        max_input_tokens=most,
        task=task,
        side=named_side if task or named_side else side,
        texts_only=all(isinstance(item, TextInput) for item in items),
        caller=call.caller,
    )
    return await call.services.embedder.embed(request)
