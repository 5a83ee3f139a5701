"""Describes served models as Google's list of models does, on its own paths and to its own clients on OpenAI's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.responses import Response
from starlette.types import Scope

from gateway.cards.listing import ModelListing
from gateway.cards.schema import ModelKind
from gateway.dialects.base import services_of
from gateway.dialects.pages import json_response
from gateway.telemetry.requests import record_of

GEMINI = "gemini"
MODEL_PREFIX = "models/"

_CLIENT_HEADER = b"x-goog-api-client"
_METHODS = ("embedContent", "batchEmbedContents", "countTokens")


def model_resources(listing: ModelListing) -> Iterator[dict[str, Any]]:
    """The model's own resource, then one for each name that the operator gave it: clients choose by `name`."""
    model, card = listing.model, listing.model.card
    for name in (model.name, *listing.configured_aliases):
        yield {
            "name": f"{MODEL_PREFIX}{name}",
            "baseModelId": model.name,
            "version": listing.variant or "1",
            "displayName": name,
            "description": card.summary,
            "inputTokenLimit": listing.max_tokens,
            "outputTokenLimit": 1,
            "supportedGenerationMethods": list(_METHODS),
        }


def is_from_googles_client(scope: Scope) -> bool:
    """Whether the request says that it comes from one of Google's own clients, as all of them do."""
    return any(name == _CLIENT_HEADER for name, _ in scope["headers"])


def gemini_models_page(scope: Scope) -> Response:
    """All on one page, whatever `pageSize` says: there are few. Only embedding models have a call here."""
    listings = [one for one in services_of(scope).models.list() if one.model.card.kind is ModelKind.EMBEDDING]
    return json_response({"models": [model for listing in listings for model in model_resources(listing)]})


def gemini_model_page(scope: Scope) -> Response:
    """By any of its names, under the one that was asked for."""
    record_of(scope).dialect = GEMINI
    name = scope["path_params"]["model"].rstrip("/").removeprefix(MODEL_PREFIX)
    resources = list(model_resources(services_of(scope).models.resolve(name)))
    asked = f"{MODEL_PREFIX}{name}".lower()
    return json_response(next((one for one in resources if one["name"].lower() == asked), resources[0]))
