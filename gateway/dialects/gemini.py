"""Gemini's API, as Google's clients and the many that imitate them call it: embeddings, token counts, its models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.dialects.endpoint import Answer, Call, EndpointLimits, JsonEndpoint
from gateway.dialects.error_schema import POST_ERRORS, error_responses
from gateway.dialects.faults import Fault
from gateway.dialects.gemini_embed import batch_embed_contents, count_tokens, embed_content
from gateway.dialects.gemini_models import GEMINI, gemini_model_page, gemini_models_page
from gateway.dialects.gemini_schema import (
    GeminiBatchRequest,
    GeminiBatchResponse,
    GeminiCountRequest,
    GeminiCountResponse,
    GeminiError,
    GeminiModel,
    GeminiModels,
    GeminiRequest,
    GeminiResponse,
)
from gateway.dialects.pages import Page, json_response
from gateway.dialects.routing import serve

# Below which of Google's versions, or none, the calls are found; the first one is documented. `/v1/models` itself is
# OpenAI's.
_VERSIONS = ("/v1beta", "/v1", "/v1alpha", "/v1beta1", "", "/v1/v1beta")
_LISTS = ("/v1beta", "/v1alpha", "/v1beta1", "/v1/v1beta")
_CALLS = (":embedContent", ":batchEmbedContents", ":countTokens")

_TAGS = ["Gemini"]
_DOMAIN = "triton-embeddings-gateway"
_DETAIL = "type.googleapis.com/google.rpc."
_STATUS_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Gemini:
    """The calls of generativelanguage.googleapis.com that concern embeddings."""

    name = GEMINI
    source = "https://ai.google.dev/api/embeddings"
    path_prefixes: Sequence[str] = ("/v1beta/", "/v1alpha/", "/v1beta1/")

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits

    def routes(self) -> list[BaseRoute]:
        lists = tuple(f"{version}/models" for version in _LISTS)
        models: dict[str, Any] = {
            "responses": error_responses(401, 404, model=GeminiError),
            "tags": _TAGS,
            "source": "https://ai.google.dev/api/models",
        }
        return [
            *self._post("embedContent", embed_content, embed_one_content),
            *self._post("batchEmbedContents", batch_embed_contents, embed_several_contents),
            *self._post("countTokens", count_tokens, count_texts_tokens, source="https://ai.google.dev/api/tokens"),
            *serve(
                lists, Page("gemini_models", gemini_models_page), method="GET", describe=list_gemini_models, **models
            ),
            *serve(
                tuple(f"{path}/{{model:path}}" for path in lists),
                Page("gemini_model", gemini_model_page),
                method="GET",
                describe=get_gemini_model,
                **models,
            ),
        ]

    def _post(
        self, method: str, answer: Callable[[Call], Awaitable[Answer]], describe: Callable[..., Any], **more: Any
    ) -> list[BaseRoute]:
        return serve(
            tuple(f"{version}/models/{{model:path}}:{method}" for version in _VERSIONS),
            JsonEndpoint(f"gemini_{method}", answer, limits=self._limits),
            method="POST",
            describe=describe,
            responses=error_responses(*POST_ERRORS, model=GeminiError),
            tags=_TAGS,
            **more,
        )

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:
        """Google's error with what its clients look for among the details: reason, field, and when to come again."""
        error = {
            "code": fault.status,
            "message": fault.message,
            "status": _STATUS_WORDS.get(fault.status, "INTERNAL"),
            "details": _details(fault, request_id=request_id),
        }
        return json_response({"error": error}, status=fault.status, headers=fault.headers)


def takes_key_in_query(path: str) -> bool:
    """Whether an API key may come as `?key=`, which is how Google's API was called before it had a header for it."""
    return path.startswith(tuple(Gemini.path_prefixes)) or ("/models/" in path and path.rstrip("/").endswith(_CALLS))


def _details(fault: Fault, *, request_id: str) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = [
        {"@type": f"{_DETAIL}ErrorInfo", "reason": fault.code.upper(), "domain": _DOMAIN},
        {"@type": f"{_DETAIL}RequestInfo", "requestId": request_id},
    ]
    if fault.param is not None:
        violation = {"field": fault.param, "description": fault.message}
        details.append({"@type": f"{_DETAIL}BadRequest", "fieldViolations": [violation]})
    seconds = fault.headers.get("retry-after")
    if seconds is not None:
        details.append({"@type": f"{_DETAIL}RetryInfo", "retryDelay": f"{seconds}s"})
    return details


def embed_one_content(model: str, body: GeminiRequest) -> GeminiResponse:  # type: ignore[empty-body]
    """Turn a content, a text or an image, into a vector."""


def embed_several_contents(model: str, body: GeminiBatchRequest) -> GeminiBatchResponse:  # type: ignore[empty-body]
    """Turn the content of each request into a vector, in their order."""


def count_texts_tokens(model: str, body: GeminiCountRequest) -> GeminiCountResponse:  # type: ignore[empty-body]
    """Count the tokens of texts by the model's tokenizer, special ones included."""


def list_gemini_models() -> GeminiModels:  # type: ignore[empty-body]
    """List the embedding models that are served, as Google describes models."""


def get_gemini_model(model: str) -> GeminiModel:  # type: ignore[empty-body]
    """Describe one model, by any of its names, as Google describes models."""
