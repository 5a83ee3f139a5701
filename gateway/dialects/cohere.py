"""Cohere's API, of both versions. Its `/v1/rerank` and `/v1/models` are shared with Jina's and OpenAI's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Scope

from gateway.dialects.cohere_embed import embed_v1, embed_v2, meta
from gateway.dialects.cohere_schema import (
    CohereByType,
    CohereDetokenizeRequest,
    CohereEmbedRequest,
    CohereError,
    CohereFloats,
    CohereKeyCheck,
    CohereRerankRequest,
    CohereRerankResponse,
    CohereText,
    CohereTokenizeRequest,
    CohereTokens,
)
from gateway.dialects.cohere_tokens import detokenize, tokenize
from gateway.dialects.endpoint import Answer, Call, EndpointLimits, JsonEndpoint
from gateway.dialects.error_schema import POST_ERRORS, error_responses
from gateway.dialects.faults import Fault
from gateway.dialects.json_rows import json_list, written
from gateway.dialects.pages import Page, json_response
from gateway.dialects.rerank_request import RerankCall, parse_rerank_call
from gateway.dialects.rerank_response import ranked, repeated_bytes
from gateway.dialects.routing import serve
from gateway.types import RerankResult

_TAGS = ["Cohere"]
_SITE = "https://docs.cohere.com"
_PAGES = {
    "embed_v2": f"{_SITE}/reference/embed",
    "embed_v1": f"{_SITE}/v1/reference/embed",
    "rerank_v2": f"{_SITE}/reference/rerank",
    "tokenize": f"{_SITE}/reference/tokenize",
    "detokenize": f"{_SITE}/reference/detokenize",
}
_BYTES_PER_RESULT = 64


class Cohere:
    """What clients of api.cohere.com call that is no other API's path."""

    name = "cohere"
    source = f"{_SITE}/reference/about"
    path_prefixes: Sequence[str] = ("/v2/",)

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits

    def routes(self) -> list[BaseRoute]:
        return [
            *self._post(("/v2/embed", "/v1/v2/embed", "/v2/v2/embed"), "embed_v2", embed_v2, embed_by_type),
            *self._post(("/v1/embed", "/v1/v1/embed"), "embed_v1", embed_v1, embed_floats),
            *self._post(("/v2/rerank", "/v1/v2/rerank", "/v2/v2/rerank"), "rerank_v2", _rerank, rerank_documents),
            *self._post(("/v1/tokenize", "/v1/v1/tokenize"), "tokenize", tokenize, list_tokens),
            *self._post(("/v1/detokenize", "/v1/v1/detokenize"), "detokenize", detokenize, join_tokens),
            *serve(
                ("/v1/check-api-key", "/v1/v1/check-api-key"),
                Page("cohere_check", _check_key),
                method="POST",
                describe=check_api_key,
                responses=error_responses(401, model=CohereError),
                tags=_TAGS,
                source=f"{_SITE}/reference/checkapikey",
            ),
        ]

    def _post(
        self,
        paths: Sequence[str],
        route: str,
        answer: Callable[[Call], Awaitable[Answer]],
        describe: Callable[..., Any],
    ) -> list[BaseRoute]:
        return serve(
            paths,
            JsonEndpoint(f"cohere_{route}", answer, limits=self._limits),
            method="POST",
            describe=describe,
            responses=error_responses(*POST_ERRORS, model=CohereError),
            tags=_TAGS,
            source=_PAGES[route],
        )

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:
        body = {"message": fault.message, "id": request_id}
        return json_response(body, status=fault.status, headers=fault.headers)


async def _rerank(call: Call) -> Answer:
    asked = parse_rerank_call(
        call.fields,
        max_inputs=call.limits.inputs.max_inputs,
        deadline=call.deadline,
        caller=call.caller,
        echo_documents=False,
    )
    result = await call.wait_for(call.services.reranker.rerank(asked.request))
    call.note(model=result.model, inputs=len(result.scores), usage=result.usage, stages=result.stages)
    return Answer(await _encoded(result, asked, request_id=call.request_id))


async def _encoded(result: RerankResult, call: RerankCall, *, request_id: str) -> bytes:
    def make() -> bytes:
        return b'{"id":%b,"results":%b,"meta":%b}' % (
            orjson.dumps(request_id),
            json_list(ranked(result, call, as_objects=True)),
            orjson.dumps(meta("2", {"search_units": 1})),
        )

    return await written(make, expected_bytes=_BYTES_PER_RESULT * len(result.scores) + repeated_bytes(call))


def _check_key(_scope: Scope) -> Response:
    """Who gets here has a key that is right, or needs none."""
    return json_response({"valid": True})


def embed_by_type(body: CohereEmbedRequest) -> CohereByType:  # type: ignore[empty-body]
    """Turn texts or images into vectors, by type: as Cohere's second API."""


def embed_floats(body: CohereEmbedRequest) -> CohereFloats | CohereByType:  # type: ignore[empty-body]
    """Turn texts or images into vectors: plain ones, or by type where `embedding_types` is given."""


def rerank_documents(body: CohereRerankRequest) -> CohereRerankResponse:  # type: ignore[empty-body]
    """Order documents by how well they answer a query, the best one first."""


def list_tokens(body: CohereTokenizeRequest) -> CohereTokens:  # type: ignore[empty-body]
    """A text's tokens by a model's tokenizer, special ones left out."""


def join_tokens(body: CohereDetokenizeRequest) -> CohereText:  # type: ignore[empty-body]
    """The text of token ids."""


def check_api_key() -> CohereKeyCheck:  # type: ignore[empty-body]
    """Whether the API key is one of this gateway's."""
