"""OpenAI's embeddings and models API, as its own clients and the many that imitate them call it.

`/v1/embeddings` is Jina's path too, so it takes the fields of both.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.dialects.embeddings_answer import answer_embeddings
from gateway.dialects.embeddings_schema import EmbeddingsRequest, EmbeddingsResponse
from gateway.dialects.endpoint import EndpointLimits, JsonEndpoint
from gateway.dialects.envelope import envelope_response
from gateway.dialects.error_schema import POST_ERRORS, error_responses
from gateway.dialects.faults import Fault
from gateway.dialects.model_pages import model_page, models_page
from gateway.dialects.model_schema import ModelResponse, ModelsResponse
from gateway.dialects.pages import Page
from gateway.dialects.routing import serve

_MODELS_PAGE = "https://platform.openai.com/docs/api-reference/models"

# Where clients look: the API's version, what misconfigured base URLs make of it, and the way by which an endpoint of
# RunPod's passes it on.
_BASES = ("/v1", "", "/v1/v1", "/v2/{endpoint}/openai/v1", "/{endpoint}/openai/v1")


class OpenAI:
    """The dialect of `/v1` and the default one for paths that belong to nobody."""

    name = "openai"
    source = "https://platform.openai.com/docs/api-reference/embeddings"
    path_prefixes: Sequence[str] = ("/",)

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits

    def routes(self) -> list[BaseRoute]:
        """`/v1/embeddings`, `/v1/models`, `/v1/models/{id}`, below each of the bases."""
        return [
            *serve(
                tuple(f"{base}/embeddings" for base in _BASES),
                JsonEndpoint("embeddings", answer_embeddings, limits=self._limits),
                method="POST",
                describe=create_embeddings,
                responses=error_responses(*POST_ERRORS),
                tags=["Embeddings"],
            ),
            *serve(
                tuple(f"{base}/models" for base in _BASES),
                Page("models", models_page),
                method="GET",
                describe=list_models,
                responses=error_responses(401),
                tags=["Models"],
                source=_MODELS_PAGE,
            ),
            *serve(
                tuple(f"{base}/models/{{model:path}}" for base in _BASES),
                Page("model", model_page),
                method="GET",
                describe=retrieve_model,
                responses=error_responses(401, 404),
                tags=["Models"],
                source=_MODELS_PAGE,
            ),
        ]

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:
        return envelope_response(fault, request_id=request_id)


def create_embeddings(body: EmbeddingsRequest) -> EmbeddingsResponse:  # type: ignore[empty-body]
    """Turn inputs into vectors: one per input, in input order, of unit length unless asked otherwise."""


def list_models() -> ModelsResponse:  # type: ignore[empty-body]
    """List the models that are served."""


def retrieve_model(model: str) -> ModelResponse:  # type: ignore[empty-body]
    """Describe one model, by short name, hub id or alias."""
