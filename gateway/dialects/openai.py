"""OpenAI's embeddings and models API, as its own clients and the many that imitate them call it.

`/v1/embeddings` is Jina's path too, so it takes the fields of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Scope

from gateway.dialects.base import services_of
from gateway.dialects.embeddings_request import VOCABULARY_HEADER, parse_embeddings_call
from gateway.dialects.embeddings_response import encode_answer
from gateway.dialects.embeddings_schema import EmbeddingsRequest, EmbeddingsResponse
from gateway.dialects.endpoint import Answer, Call, EndpointLimits, JsonEndpoint
from gateway.dialects.envelope import envelope_response
from gateway.dialects.error_schema import POST_ERRORS, error_responses
from gateway.dialects.faults import Fault
from gateway.dialects.model_objects import model_entries
from gateway.dialects.model_schema import ModelResponse, ModelsResponse
from gateway.dialects.pages import Page, json_response
from gateway.dialects.routing import serve

_VERSION_HEADER = (b"openai-version", b"2020-10-01")


class OpenAI:
    """The dialect of `/v1` and the default one for paths that belong to nobody."""

    name = "openai"
    source = "https://platform.openai.com/docs/api-reference/embeddings"
    path_prefixes: Sequence[str] = ("/",)

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits

    def routes(self) -> list[BaseRoute]:
        """`/v1/embeddings`, `/v1/models`, `/v1/models/{id}`, and the spellings of misconfigured base URLs."""
        return [
            *serve(
                ("/v1/embeddings", "/embeddings", "/v1/v1/embeddings"),
                JsonEndpoint("embeddings", _embed, limits=self._limits),
                method="POST",
                describe=create_embeddings,
                responses=error_responses(*POST_ERRORS),
                tags=["Embeddings"],
            ),
            *serve(
                ("/v1/models", "/models", "/v1/v1/models"),
                Page("models", _models_page),
                method="GET",
                describe=list_models,
                responses=error_responses(401),
                tags=["Models"],
            ),
            *serve(
                ("/v1/models/{model:path}", "/models/{model:path}", "/v1/v1/models/{model:path}"),
                Page("model", _model_page),
                method="GET",
                describe=retrieve_model,
                responses=error_responses(401, 404),
                tags=["Models"],
            ),
        ]

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:
        return envelope_response(fault, request_id=request_id)


async def _embed(call: Call) -> Answer:
    asked = parse_embeddings_call(
        call.fields,
        vocabulary_header=call.header(VOCABULARY_HEADER),
        limits=call.limits.inputs,
        deadline=call.deadline,
        caller=call.caller,
        may_keep=call.may_keep,
    )
    result = await call.wait_for(call.services.embedder.embed(asked.request))
    call.note(model=result.model, inputs=len(asked.request.inputs), usage=result.usage, stages=result.stages)
    body = await encode_answer(result, asked.encodings)
    return Answer(body, warnings=result.warnings, headers=(_VERSION_HEADER,))


def _models_page(scope: Scope) -> Response:
    models = services_of(scope).models
    entries = [entry for listing in models.list() for entry in model_entries(listing, models)]
    return json_response({"object": "list", "data": entries, "models": _for(scope, entries)})


def _for(scope: Scope, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cohere's part of the list, where `?endpoint=embed` may ask for models of one kind."""
    wanted = QueryParams(scope["query_string"]).get("endpoint")
    return [entry for entry in entries if not wanted or wanted in entry["endpoints"]]


def _model_page(scope: Scope) -> Response:
    models = services_of(scope).models
    name = scope["path_params"]["model"].rstrip("/")
    listing = models.resolve(name)
    entries = model_entries(listing, models)
    own = next(entries)
    return json_response(next((entry for entry in entries if entry["id"].lower() == name.lower()), own))


def create_embeddings(body: EmbeddingsRequest) -> EmbeddingsResponse:  # type: ignore[empty-body]
    """Turn inputs into vectors: one per input, in input order, of unit length unless asked otherwise."""


def list_models() -> ModelsResponse:  # type: ignore[empty-body]
    """List the models that are served."""


def retrieve_model(model: str) -> ModelResponse:  # type: ignore[empty-body]
    """Describe one model, by short name, hub id or alias."""
