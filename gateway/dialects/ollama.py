"""Ollama's API, as far as vectors go: embedding, looking at models, and a clear no to everything else it has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Scope

from gateway.dialects.base import services_of
from gateway.dialects.endpoint import Answer, Call, EndpointLimits, JsonEndpoint
from gateway.dialects.error_schema import error_responses
from gateway.dialects.faults import Fault
from gateway.dialects.fields import flag
from gateway.dialects.jina_schema import RerankRequest, RerankResponse
from gateway.dialects.ollama_embed import embed, embed_one, model_name, rerank, unknown_as_ollama
from gateway.dialects.ollama_models import model_facts, model_tags, running_models
from gateway.dialects.ollama_schema import (
    OllamaEmbeddingsRequest,
    OllamaEmbeddingsResponse,
    OllamaEmbedRequest,
    OllamaEmbedResponse,
    OllamaError,
    OllamaModelRequest,
    OllamaPullRequest,
    OllamaRunning,
    OllamaShow,
    OllamaStatus,
    OllamaTags,
    OllamaVersion,
)
from gateway.dialects.pages import Page, json_response
from gateway.dialects.routing import serve
from gateway.errors import NotOffered, UnknownModel

# The release whose API this is; clients compare it with the one that they need.
VERSION = "0.13.0"

_TAGS = ["Ollama"]
_JINAS_RERANK = "https://api.jina.ai/redoc#tag/rerank"
_STATUSES = (400, 401, 404, 408, 413, 415, 500, 503, 504)


_BY_OPERATOR = "The gateway's operator does that: `gateway models add`, `gateway models pull`."
_GENERATES = "This gateway serves embedding models and rerankers, and none of them writes text."
_REFUSED: Sequence[tuple[str, tuple[str, ...], str]] = (
    ("/api/generate", ("POST",), _GENERATES),
    ("/api/chat", ("POST",), _GENERATES),
    ("/api/create", ("POST",), f"Models cannot be created over this API. {_BY_OPERATOR}"),
    (
        "/api/copy",
        ("POST",),
        "Models cannot be copied over this API. The setting GATEWAY_MODEL_ALIASES names them anew.",
    ),
    ("/api/delete", ("DELETE", "POST"), "Models cannot be deleted over this API. The gateway's operator does that."),
    ("/api/push", ("POST",), "Models cannot be pushed from here."),
    ("/api/blobs/{digest}", ("GET", "POST"), f"Files cannot be uploaded over this API. {_BY_OPERATOR}"),
)


class Ollama:
    """What clients of Ollama call under `/api`. Its `/` is among the service's own pages."""

    name = "ollama"
    source = "https://github.com/ollama/ollama/blob/main/docs/api.md"
    path_prefixes: Sequence[str] = ("/api/",)

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits

    def routes(self) -> list[BaseRoute]:
        return [
            *self._post(("/api/embed",), "embed", embed, embed_texts),
            *self._post(("/api/embeddings",), "embeddings", embed_one, embed_text),
            *self._post(("/api/rerank", "/api/reranker"), "rerank", rerank, rerank_texts, source=_JINAS_RERANK),
            *self._post(("/api/show",), "show", _show, show_model),
            *self._post(("/api/pull",), "pull", _pull, pull_model),
            *_get("/api/tags", Page("ollama_tags", _tags), list_tags),
            *_get("/api/ps", Page("ollama_ps", _ps), list_running),
            *_get("/api/version", Page("ollama_version", _version), tell_version),
            *_refusals(),
        ]

    def _post(
        self,
        paths: Sequence[str],
        route: str,
        answer: Callable[[Call], Awaitable[Answer]],
        describe: Callable[..., Any],
        *,
        source: str = "",
    ) -> list[BaseRoute]:
        endpoint = JsonEndpoint(f"ollama_{route}", answer, limits=self._limits)
        return serve(
            paths,
            endpoint,
            method="POST",
            describe=describe,
            responses=error_responses(*_STATUSES, model=OllamaError),
            tags=_TAGS,
            source=source,
        )

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:  # noqa: ARG002 - in the header alone
        """Ollama says 503 when its queue is full, and has words of its own for a text that is too long."""
        if fault.status == 429:
            fault = replace(fault, status=503)
        message = fault.message
        if fault.code == "context_length_exceeded":
            message = f"the input length exceeds the context length: {message}"
        return json_response({"error": message}, status=fault.status, headers=fault.headers)


def _get(path: str, page: Page, describe: Callable[..., Any]) -> list[BaseRoute]:
    return serve(
        (path,), page, method="GET", describe=describe, responses=error_responses(401, model=OllamaError), tags=_TAGS
    )


def _refusals() -> list[BaseRoute]:
    return [
        route
        for path, methods, message in _REFUSED
        for method in methods
        for route in serve(
            (path,),
            Page("ollama_refused", partial(_refuse, message)),
            method=method,
            describe=refuse,
            include_in_schema=False,
        )
    ]


def _refuse(message: str, _scope: Scope) -> Response:
    """Before the body is read: it may be a whole model."""
    raise NotOffered(message)


def _tags(scope: Scope) -> Response:
    return json_response({"models": model_tags(services_of(scope).models.list())})


def _ps(scope: Scope) -> Response:
    return json_response({"models": running_models(services_of(scope).models.list())})


def _version(_scope: Scope) -> Response:
    return json_response({"version": VERSION})


async def _show(call: Call) -> Answer:
    name = model_name(call.fields)
    with unknown_as_ollama(name):
        return Answer(orjson.dumps(model_facts(call.services.models.resolve(name))))


async def _pull(call: Call) -> Answer:
    """A model that is served is there already; any other one its operator brings."""
    name = model_name(call.fields)
    try:
        call.services.models.resolve(name)
    except UnknownModel as error:
        raise UnknownModel(f"pull model manifest: file does not exist. {error.message}", code=error.code) from None
    done = orjson.dumps({"status": "success"})
    if not flag(call.fields, "stream", default=True):
        return Answer(done)
    lines = (orjson.dumps({"status": "pulling manifest"}), done)
    return Answer(b"".join(line + b"\n" for line in lines), content_type=b"application/x-ndjson")


def embed_texts(body: OllamaEmbedRequest) -> OllamaEmbedResponse:  # type: ignore[empty-body]
    """Turn texts into vectors of unit length, one a text, in their order."""


def embed_text(body: OllamaEmbeddingsRequest) -> OllamaEmbeddingsResponse:  # type: ignore[empty-body]
    """Turn one text into a vector; Ollama keeps this for old clients."""


def rerank_texts(body: RerankRequest) -> RerankResponse:  # type: ignore[empty-body]
    """Order documents by how well they answer a query. Ollama itself has no such path; the answer is Jina's."""


def show_model(body: OllamaModelRequest) -> OllamaShow:  # type: ignore[empty-body]
    """Describe a served model."""


def pull_model(body: OllamaPullRequest) -> OllamaStatus:  # type: ignore[empty-body]
    """Succeeds for a model that is served; others are brought by the operator."""


def list_tags() -> OllamaTags:  # type: ignore[empty-body]
    """List the models that are served, each with the tag `latest`, and the names that the operator gave them."""


def list_running() -> OllamaRunning:  # type: ignore[empty-body]
    """List the models that are loaded: all that are served."""


def tell_version() -> OllamaVersion:  # type: ignore[empty-body]
    """The release of Ollama whose API this is."""


def refuse() -> None:
    """Not offered here."""
