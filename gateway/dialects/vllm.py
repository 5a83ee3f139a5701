"""vLLM's own paths beside OpenAI's: scores of pairs, and whatever a pooling model gives.

Its `/tokenize` and `/detokenize` stand beside TEI's, and what it adds to `/v1/embeddings` is read there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.dialects.endpoint import Answer, Call, EndpointLimits, JsonEndpoint
from gateway.dialects.error_schema import POST_ERRORS, error_responses
from gateway.dialects.faults import Fault
from gateway.dialects.pages import json_response
from gateway.dialects.routing import serve
from gateway.dialects.vllm_pooling import pool
from gateway.dialects.vllm_schema import (
    VllmError,
    VllmPoolingRequest,
    VllmPoolingResponse,
    VllmScoreRequest,
    VllmScoreResponse,
)
from gateway.dialects.vllm_score import score

# vLLM names these itself; all other statuses go by HTTP's own phrase.
_TYPES = {400: "BadRequestError", 404: "NotFoundError", 500: "InternalServerError"}


class Vllm:
    """What clients of a vLLM server with a pooling model call that is no other API's path."""

    name = "vllm"
    source = "https://docs.vllm.ai/en/latest/models/pooling_models/"
    path_prefixes: Sequence[str] = ()

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits

    def routes(self) -> list[BaseRoute]:
        return [
            *self._post(("/score", "/v1/score", "/v1/v1/score"), "vllm_score", score, score_pairs),
            *self._post(("/pooling", "/v1/pooling", "/v1/v1/pooling"), "vllm_pooling", pool, pool_inputs),
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
            JsonEndpoint(route, answer, limits=self._limits),
            method="POST",
            describe=describe,
            responses=error_responses(*POST_ERRORS, model=VllmError),
            tags=["vLLM"],
        )

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:  # noqa: ARG002 - in the header alone
        """vLLM's error, whose `code` is the HTTP status."""
        body = {
            "error": {
                "message": fault.message,
                "type": _TYPES.get(fault.status) or HTTPStatus(fault.status).phrase,
                "param": fault.param,
                "code": fault.status,
            }
        }
        return json_response(body, status=fault.status, headers=fault.headers)


def score_pairs(body: VllmScoreRequest) -> VllmScoreResponse:  # type: ignore[empty-body]
    """Score pairs of texts: by a reranker, or by the cosine of an embedding model's vectors."""


def pool_inputs(body: VllmPoolingRequest) -> VllmPoolingResponse:  # type: ignore[empty-body]
    """A vector for each input, or with `task` `token_embed` for each token of each."""
