"""The list of models and the page of each, in OpenAI's form with what other APIs' clients look for."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.types import Scope

from gateway.dialects.base import services_of
from gateway.dialects.gemini_models import gemini_model_page, gemini_models_page, is_from_googles_client
from gateway.dialects.model_objects import model_entries
from gateway.dialects.pages import json_response


def models_page(scope: Scope) -> Response:
    """All models that are served; Google's own clients have this path for their list too."""
    if is_from_googles_client(scope):
        return gemini_models_page(scope)
    models = services_of(scope).models
    entries = [entry for listing in models.list() for entry in model_entries(listing, models)]
    return json_response({"object": "list", "data": entries, "models": _for(scope, entries)})


def _for(scope: Scope, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cohere's part of the list, where `?endpoint=embed` may ask for models of one kind."""
    wanted = QueryParams(scope["query_string"]).get("endpoint")
    return [entry for entry in entries if not wanted or wanted in entry["endpoints"]]


def model_page(scope: Scope) -> Response:
    """The model that the path's parameter `model` names."""
    if is_from_googles_client(scope):
        return gemini_model_page(scope)
    models = services_of(scope).models
    name = scope["path_params"]["model"].rstrip("/")
    listing = models.resolve(name)
    entries = model_entries(listing, models)
    own = next(entries)
    return json_response(next((entry for entry in entries if entry["id"].lower() == name.lower()), own))
