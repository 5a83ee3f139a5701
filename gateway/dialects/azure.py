"""Azure OpenAI's embeddings, as its SDKs call them: a deployment in the path, the API's version in the query.

A deployment is a model by any of its names, those that the operator gave it included. Azure's newer paths, below
`/openai/v1`, are OpenAI's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import Query
from starlette.responses import Response
from starlette.routing import BaseRoute

from gateway.dialects.azure_schema import AzureError
from gateway.dialects.embeddings_answer import answer_embeddings
from gateway.dialects.embeddings_schema import EmbeddingsRequest, EmbeddingsResponse
from gateway.dialects.endpoint import Answer, Call, EndpointLimits, JsonEndpoint
from gateway.dialects.envelope import error_type
from gateway.dialects.error_schema import POST_ERRORS, error_responses
from gateway.dialects.faults import Fault
from gateway.dialects.model_pages import model_page, models_page
from gateway.dialects.model_schema import ModelResponse, ModelsResponse
from gateway.dialects.pages import Page, json_response
from gateway.dialects.routing import serve
from gateway.errors import UnknownModel

_TAGS = ["Azure"]
_DEPLOYMENT = "deployment"

# By the stable code of an error: Azure's own word for it. All others are said in the gateway's.
_BY_CODE: Mapping[str, str] = {
    "model_not_found": "DeploymentNotFound",
    "wrong_model_kind": "OperationNotSupported",
    "invalid_api_key": "401",
    "not_found": "404",
    "overloaded": "RateLimitReached",
    "internal_error": "InternalServerError",
}


class Azure:
    """What clients of Azure OpenAI call under `/openai`."""

    name = "azure"
    source = "https://learn.microsoft.com/en-us/azure/ai-services/openai/reference"
    path_prefixes: Sequence[str] = ("/openai/",)

    def __init__(self, limits: EndpointLimits) -> None:
        self._limits = limits

    def routes(self) -> list[BaseRoute]:
        """A deployment's embeddings, also below base addresses that have `/v1` too many or lack `/openai`; and what
        `/openai/v1` has of OpenAI's."""
        at_deployment = f"/deployments/{{{_DEPLOYMENT}:path}}/embeddings"
        errors = error_responses(*POST_ERRORS, model=AzureError)
        return [
            *serve(
                (f"/openai{at_deployment}", at_deployment, f"/v1/openai{at_deployment}"),
                JsonEndpoint("azure_deployment_embeddings", _embed_by_deployment, limits=self._limits),
                method="POST",
                describe=create_deployment_embeddings,
                responses=errors,
                tags=_TAGS,
            ),
            *serve(
                ("/openai/v1/embeddings", "/openai/embeddings"),
                JsonEndpoint("azure_embeddings", answer_embeddings, limits=self._limits),
                method="POST",
                describe=create_azure_embeddings,
                responses=errors,
                tags=_TAGS,
            ),
            *serve(
                ("/openai/v1/models",),
                Page("azure_models", models_page),
                method="GET",
                describe=list_azure_models,
                responses=error_responses(401, model=AzureError),
                tags=_TAGS,
            ),
            *serve(
                ("/openai/v1/models/{model:path}",),
                Page("azure_model", model_page),
                method="GET",
                describe=retrieve_azure_model,
                responses=error_responses(401, 404, model=AzureError),
                tags=_TAGS,
            ),
        ]

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:  # noqa: ARG002 - in the header alone
        body = {
            "error": {
                "code": _BY_CODE.get(fault.code, fault.code),
                "message": fault.message,
                "param": fault.param,
                "type": error_type(fault.status),
            }
        }
        return json_response(body, status=fault.status, headers=fault.headers)


async def _embed_by_deployment(call: Call) -> Answer:
    """The path names the model: what the body calls it is the name that it has at OpenAI."""
    deployment = call.scope["path_params"][_DEPLOYMENT].strip("/ ")
    if not deployment:
        raise UnknownModel("The path names no deployment. Put a model's name there; `GET /v1/models` lists them.")
    return await answer_embeddings(replace(call, fields=call.fields | {"model": deployment}))


def create_deployment_embeddings(  # type: ignore[empty-body]
    deployment: str,
    body: EmbeddingsRequest,
    api_version: Annotated[str | None, Query(alias="api-version", description="Any version will do.")] = None,
) -> EmbeddingsResponse:
    """As `/v1/embeddings`, by the model that the path names; `model` in the body does not count."""


def create_azure_embeddings(  # type: ignore[empty-body]
    body: EmbeddingsRequest,
    api_version: Annotated[str | None, Query(alias="api-version", description="Any version will do.")] = None,
) -> EmbeddingsResponse:
    """As `/v1/embeddings`."""


def list_azure_models() -> ModelsResponse:  # type: ignore[empty-body]
    """As `/v1/models`."""


def retrieve_azure_model(model: str) -> ModelResponse:  # type: ignore[empty-body]
    """As `/v1/models/{model}`."""
