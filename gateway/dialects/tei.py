"""Hugging Face's text-embeddings-inference, as its clients and Hugging Face's own call it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Scope

from gateway.dialects.endpoint import Answer, Call, EndpointLimits, JsonEndpoint
from gateway.dialects.error_schema import error_responses
from gateway.dialects.faults import Fault
from gateway.dialects.fields import Fields, kind_of
from gateway.dialects.pages import Page, json_response
from gateway.dialects.routing import serve
from gateway.dialects.tei_embed import embed, embed_all, similarity, with_parameters
from gateway.dialects.tei_fields import EMPTY
from gateway.dialects.tei_info import model_info
from gateway.dialects.tei_rerank import TEI, predict, tei_rerank
from gateway.dialects.tei_schema import (
    TeiDecodeRequest,
    TeiEmbedAllRequest,
    TeiEmbedRequest,
    TeiError,
    TeiInfo,
    TeiPrediction,
    TeiPredictRequest,
    TeiRank,
    TeiSimilarityRequest,
    TeiToken,
    TeiTokenizeRequest,
    VllmDetokenizeRequest,
    VllmText,
    VllmTokens,
)
from gateway.dialects.tei_tokens import decode, detokenize, tokenize
from gateway.errors import InvalidField, NotOffered, TooManyInputs
from gateway.telemetry.callers import key_defaults_of
from gateway.telemetry.requests import record_of

_TAGS = ["TEI"]
_VLLMS_PAGE = "https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html"
_STATUSES = (400, 401, 404, 408, 413, 415, 422, 424, 429, 500, 503, 504)

# By the stable code of an error: the status and the `error_type` that TEI has for it.
_BY_CODE = {
    EMPTY: (400, "Empty"),
    "too_many_inputs": (413, "Validation"),
    "tokenizer_failed": (422, "Tokenizer"),
    "inference_failed": (424, "Backend"),
    "embedding_invalid": (424, "Backend"),
    "wrong_model_kind": (424, "Backend"),
    "multi_vector_unavailable": (424, "Backend"),
    "not_offered": (424, "Backend"),
    "malformed_body": (400, "Validation"),
}
_BY_STATUS = {400: (422, "Validation"), 429: (429, "Overloaded"), 503: (503, "Unhealthy")}

Work = Callable[[Call], Awaitable[Answer]]


class Tei:
    """TEI's native paths. Its `/rerank` is shared with Jina's, its OpenAI route is OpenAI's, its health the
    gateway's."""

    name = TEI
    source = "https://huggingface.github.io/text-embeddings-inference/"
    path_prefixes: Sequence[str] = ()

    def __init__(self, limits: EndpointLimits, *, tokenizer_threads: int) -> None:
        self._limits = limits
        self._tokenizer_threads = tokenizer_threads

    def routes(self) -> list[BaseRoute]:
        info = JsonEndpoint("tei_info", self._info, limits=self._limits)
        return [
            *self._post(("/embed",), embed, embed_inputs),
            *self._post(("/embed_all",), embed_all, embed_tokens),
            *self._post(("/predict",), predict, predict_pairs),
            *self._post(("/similarity",), similarity, compare_sentences),
            *self._post(("/tokenize",), tokenize, tokenize_texts),
            *self._post(("/detokenize",), detokenize, detokenize_ids, source=_VLLMS_PAGE),
            *self._post(("/decode",), decode, decode_ids),
            *self._post(("/invocations", "/"), _whatever, answer_by_fields),
            *self._post(("/vertex",), _vertex, answer_instances),
            *serve(("/info",), info, method="GET", describe=describe_model, responses=_responses(401, 404), tags=_TAGS),
            *serve(
                ("/embed_sparse",),
                Page("tei_refused", _no_sparse),
                method="POST",
                describe=refuse_sparse,
                include_in_schema=False,
            ),
        ]

    def _post(
        self, paths: Sequence[str], answer: Work, describe: Callable[..., Any], *, source: str = ""
    ) -> list[BaseRoute]:
        endpoint = JsonEndpoint(f"tei_{paths[0].strip('/')}", answer, limits=self._limits)
        return serve(
            paths,
            endpoint,
            method="POST",
            describe=describe,
            responses=_responses(*_STATUSES),
            tags=_TAGS,
            source=source,
        )

    async def _info(self, call: Call) -> Answer:
        own = key_defaults_of(call.scope)  # here of either kind, as this is how clients learn which it is
        facts = model_info(
            call.services.models,
            name=call.fields.get("model") or (own.model if own is not None else None),
            max_inputs=self._limits.inputs.max_inputs,
            tokenizer_threads=self._tokenizer_threads,
        )
        return Answer(orjson.dumps(facts))

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:  # noqa: ARG002 - in the header alone
        """TEI's error, with the status that TEI has for it; without a key nothing at all."""
        if fault.status == 401:
            return Response(status_code=401, headers=fault.headers)
        kind = "Backend" if fault.status >= 500 else "Validation"
        status, kind = _BY_CODE.get(fault.code) or _BY_STATUS.get(fault.status) or (fault.status, kind)
        return json_response({"error": fault.message, "error_type": kind}, status=status, headers=fault.headers)


def _responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return error_responses(*statuses, model=TeiError)


async def _whatever(call: Call) -> Answer:
    """`/`, where TEI does what its one model is for. Here several are served, so the fields say what is wanted."""
    fields = with_parameters(call.fields)
    work = embed
    if isinstance(fields.get("inputs"), dict):
        work = similarity
    elif fields.get("texts") is not None:
        work = tei_rerank
    return await work(replace(call, fields=dict(fields)))


async def _vertex(call: Call) -> Answer:
    """Requests as Vertex AI wraps them, each answered as at `/`."""
    instances = call.fields.get("instances")
    if not isinstance(instances, list):
        raise InvalidField(f"'instances' has to be a list of requests, not {kind_of(instances)}.", param="instances")
    if not instances:
        raise InvalidField("`instances` cannot be empty.", param="instances", code=EMPTY)
    if not all(isinstance(one, dict) for one in instances):
        raise InvalidField("'instances' has to hold objects.", param="instances")
    count, most = sum(map(_inputs_of, instances)), call.limits.inputs.max_inputs
    if count > most:
        raise TooManyInputs(f"batch size {count} > maximum allowed batch size {most}", param="instances")
    answers, record, inputs, tokens = [], record_of(call.scope), 0, 0
    for instance in instances:
        answers.append(await _whatever(replace(call, fields=instance)))
        inputs, tokens = inputs + record.inputs, tokens + record.tokens
    record.inputs, record.tokens = inputs, tokens
    return Answer(
        b'{"predictions":[%b]}' % b",".join([answer.body for answer in answers]),
        warnings=tuple(dict.fromkeys(warning for answer in answers for warning in answer.warnings)),
    )


def _inputs_of(instance: Fields) -> int:
    """How many inputs one of several requests has: together they may have no more than one may."""
    fields = with_parameters(instance)
    inputs, texts = fields.get("inputs"), fields.get("texts")
    if isinstance(inputs, dict):
        sentences = inputs.get("sentences")
        return 1 + len(sentences) if isinstance(sentences, list) else 1
    items = inputs if texts is None else texts
    if not isinstance(items, list) or not items or type(items[0]) is int:
        return 1
    return len(items)


def _no_sparse(_scope: Scope) -> Response:
    raise NotOffered("No model here gives sparse vectors. `POST /embed` gives dense ones.")


def embed_inputs(body: TeiEmbedRequest) -> list[list[float]]:  # type: ignore[empty-body]
    """Turn inputs into vectors: one an input, in their order."""


def embed_tokens(body: TeiEmbedAllRequest) -> list[list[list[float]]]:  # type: ignore[empty-body]
    """A vector for each token of each input, for models that give one: `GET /v1/models` lists them as
    `multi_vector`."""


def predict_pairs(body: TeiPredictRequest) -> list[TeiPrediction] | list[list[TeiPrediction]]:  # type: ignore[empty-body]
    """Score pairs of texts with a reranker."""


def compare_sentences(body: TeiSimilarityRequest) -> list[float]:  # type: ignore[empty-body]
    """The cosine of one sentence's vector with each of the others'."""


def tokenize_texts(body: TeiTokenizeRequest) -> list[list[TeiToken]] | VllmTokens:  # type: ignore[empty-body]
    """The tokens of texts by a model's tokenizer: TEI's for `inputs`, vLLM's for `prompt`."""


def detokenize_ids(body: VllmDetokenizeRequest) -> VllmText:  # type: ignore[empty-body]
    """The text of token ids, as in vLLM."""


def decode_ids(body: TeiDecodeRequest) -> list[str]:  # type: ignore[empty-body]
    """The text of each row of token ids."""


def answer_by_fields(body: dict[str, Any]) -> list[list[float]] | list[float] | list[TeiRank]:  # type: ignore[empty-body]
    """`inputs` are embedded, an object of sentences in it is compared, and `query` with `texts` is reranked. `POST /`
    does the same."""


def answer_instances(body: dict[str, Any]) -> dict[str, Any]:  # type: ignore[empty-body]
    """`instances` are requests of `/invocations`, `predictions` their answers."""


def describe_model(model: str | None = None) -> TeiInfo:  # type: ignore[empty-body]
    """The default model, or the one that is named, in TEI's words."""


def refuse_sparse() -> None:
    """Not offered here."""
