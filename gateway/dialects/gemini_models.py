"""Describes a served model as Google's list of models does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.cards.listing import ModelListing
from gateway.dialects.gemini_embed import MODEL_PREFIX

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
