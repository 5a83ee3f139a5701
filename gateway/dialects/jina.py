"""Jina's own APIs beside embeddings: rerank, classify, segment. Its embeddings share OpenAI's path and dialect."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.dialects.endpoint import Answer, Call, EndpointLimits, JsonEndpoint
from gateway.dialects.envelope import envelope_response
from gateway.dialects.error_schema import POST_ERRORS, error_responses
from gateway.dialects.faults import Fault
from gateway.dialects.jina_classify import classify
from gateway.dialects.jina_schema import (
    ClassifyRequest,
    ClassifyResponse,
    RerankRequest,
    RerankResponse,
    SegmentRequest,
    SegmentResponse,
)
from gateway.dialects.jina_segment import segment
from gateway.dialects.rerank_request import parse_rerank_call
from gateway.dialects.rerank_response import encode_ranking
from gateway.dialects.routing import serve
from gateway.dialects.tei_rerank import TEI, tei_rerank
from gateway.dialects.tei_schema import TeiRank, TeiRerankRequest

RERANK_PATHS = ("/v1/rerank", "/v1/reranker", "/reranker", "/v1/v1/rerank")
CLASSIFY_PATHS = ("/v1/classify", "/classify", "/v1/v1/classify")
SEGMENT_PATHS = ("/v1/segment", "/segment", "/v1/v1/segment")


class Jina:
    """What clients of api.jina.ai call, under its paths and the spellings of misconfigured base URLs."""

    name = "jina"
    source = "https://api.jina.ai/redoc"
    path_prefixes: Sequence[str] = ()

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits

    def routes(self) -> list[BaseRoute]:
        errors = error_responses(*POST_ERRORS)
        segmenting = JsonEndpoint("segment", segment, limits=self._limits)
        return [
            *serve(
                RERANK_PATHS,
                JsonEndpoint("rerank", _rerank, limits=self._limits),
                method="POST",
                describe=rerank_documents,
                responses=errors,
                tags=["Rerank"],
            ),
            *serve(
                ("/rerank",),
                JsonEndpoint("rerank", _rerank_bare, limits=self._limits),
                method="POST",
                describe=rerank_bare,
                responses=errors,
                tags=["Rerank"],
            ),
            *serve(
                CLASSIFY_PATHS,
                JsonEndpoint("classify", classify, limits=self._limits),
                method="POST",
                describe=classify_inputs,
                responses=errors,
                tags=["Classify"],
            ),
            *serve(SEGMENT_PATHS, segmenting, method="POST", describe=segment_text, responses=errors, tags=["Segment"]),
            *serve(SEGMENT_PATHS, segmenting, method="GET", describe=count_tokens, responses=errors, tags=["Segment"]),
        ]

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:
        return envelope_response(fault, request_id=request_id)


async def _rerank(call: Call, *, as_objects: bool = False) -> Answer:
    """Cohere's first API has this path too: where its own clients say who they are, documents are repeated only if that
    is asked for, and as objects, which they rely on. `as_objects` is whether others get objects for texts."""
    is_cohere = "cohere" in _said_by(call, b"x-fern-sdk-name")  # "cohere" from Python, "cohere-ai" from JavaScript
    asked = parse_rerank_call(
        call.fields,
        max_inputs=call.limits.inputs.max_inputs,
        deadline=call.deadline,
        caller=call.caller,
        echo_documents=not is_cohere,
    )
    result = await call.wait_for(call.services.reranker.rerank(asked.request))
    call.note(model=result.model, inputs=len(result.scores), usage=result.usage, stages=result.stages)
    # Elasticsearch's service for Cohere cannot read a text here, its service for Jina reads both; both say this.
    as_objects = as_objects or is_cohere or "elasticsearch" in _said_by(call, b"request-source")
    # Voyage's client, which reads `data`, always names its own word for how many there are to be, if only as null.
    as_data = "top_k" in call.fields
    body = await encode_ranking(result, asked, request_id=call.request_id, as_objects=as_objects, as_data=as_data)
    return Answer(body)


def _said_by(call: Call, header: bytes) -> str:
    return (call.header(header) or "").lower()


async def _rerank_bare(call: Call) -> Answer:
    """Of `/rerank`, which TEI and vLLM have too: `texts` are TEI's word, and its clients want a bare list; vLLM's want
    documents as objects."""
    if call.fields.get("texts") is not None and call.fields.get("documents") is None:
        call.speak(TEI)
        return await tei_rerank(call)
    return await _rerank(call, as_objects=True)


def rerank_documents(body: RerankRequest) -> RerankResponse:  # type: ignore[empty-body]
    """Order documents by how well they answer a query, the best one first."""


def rerank_bare(body: RerankRequest | TeiRerankRequest) -> RerankResponse | list[TeiRank]:  # type: ignore[empty-body]
    """As `/v1/rerank`, with documents as objects; with `texts` in place of `documents` it is TEI's: the answer is a
    bare list, an error TEI's."""


def classify_inputs(body: ClassifyRequest) -> ClassifyResponse:  # type: ignore[empty-body]
    """Give each input the label that it is nearest to. No training: labels are read for what they mean."""


def segment_text(body: SegmentRequest) -> SegmentResponse:  # type: ignore[empty-body]
    """Count a text's tokens and cut it into pieces where paragraphs, lines and sentences end."""


def count_tokens(content: str, tokenizer: str = "cl100k_base") -> SegmentResponse:  # type: ignore[empty-body]
    """Count a text's tokens."""
