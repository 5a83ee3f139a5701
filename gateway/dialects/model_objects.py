"""Describes a served model to callers: OpenAI's model object, and what somebody choosing a model wants to know.

Jina's and Cohere's own lists have other keys for some of the same facts; all are given, so that clients of any find
theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from datetime import time as time_of_day
from typing import Any

from gateway.cards.listing import ModelListing
from gateway.cards.schema import Model, ModelKind
from gateway.dialects.base import ModelDirectory

_OUTPUT_MODALITIES: Mapping[ModelKind, str] = {ModelKind.EMBEDDING: "embeddings", ModelKind.RERANKER: "rerank"}

_COHERE_ENDPOINTS: Mapping[ModelKind, str] = {ModelKind.EMBEDDING: "embed", ModelKind.RERANKER: "rerank"}

_PRICES = ("prompt", "completion", "image", "request", "input_cache_read", "input_cache_write")


def model_object(listing: ModelListing, models: ModelDirectory) -> dict[str, Any]:
    """One entry for what callers name, however many Triton models compute it.

    `models` says which of the names that several models may answer to are this one's.
    """
    model, card = listing.model, listing.model.card
    return {
        "id": model.name,
        "object": "model",
        "created": int(datetime.combine(card.released, time_of_day(), UTC).timestamp()),
        "owned_by": model.hub_id.partition("/")[0],
        "hub_id": model.hub_id,
        "aliases": [*model.aliases, *_shared_names(model, models)],
        "kind": card.kind.value,
        **_vector_facts(listing),
        "tasks": list(listing.tasks),
        "default_task": listing.default_task,
        "max_tokens": listing.max_tokens,
        "licence": card.licence,
        "variant": listing.variant,
        "batch_invariant": listing.batch_invariant,
        "precision": listing.precision.value,
        **_jina_keys(listing),
        **_cohere_keys(listing),
    }


def model_entries(listing: ModelListing, models: ModelDirectory) -> Iterator[dict[str, Any]]:
    """The model's own entry, then one for each name that the operator gave it: clients choose by `id`."""
    own = model_object(listing, models)
    yield own | {"aliases": [*own["aliases"], *listing.configured_aliases]}
    for alias, task in listing.configured_aliases.items():
        yield own | {
            "id": alias,
            "name": alias,
            "aliases": [],
            "alias_of": listing.model.name,
            "default_task": task or own["default_task"],
        }


def _shared_names(model: Model, models: ModelDirectory) -> list[str]:
    return [name for name in model.shared_aliases if models.resolve(name).model.name == model.name]


def _vector_facts(listing: ModelListing) -> dict[str, Any]:
    vectors = listing.model.card.vectors
    return {
        "dimensions": vectors.dimensions if vectors else None,
        "matryoshka_dimensions": list(vectors.matryoshka) if vectors else [],
        "late_chunking": vectors is not None and vectors.may_chunk_late,
        "multi_vector": listing.multi_vector,
        "token_dimensions": vectors.token_dimensions if vectors else None,
    }


def _jina_keys(listing: ModelListing) -> dict[str, Any]:
    """The keys of Jina's list. Prices are zero: nobody is charged here."""
    model, card = listing.model, listing.model.card
    return {
        "hugging_face_id": model.hub_id,
        "name": model.name,
        "description": card.summary,
        "context_length": listing.max_tokens,
        "max_output_length": card.vectors.dimensions if card.vectors else 1,
        "input_modalities": list(listing.modalities),
        "output_modalities": [_OUTPUT_MODALITIES[card.kind]],
        "quantization": listing.variant or "",
        "supported_sampling_parameters": [],
        "supported_features": [],
        "pricing": dict.fromkeys(_PRICES, "0"),
        "datacenters": [],
    }


def _cohere_keys(listing: ModelListing) -> dict[str, Any]:
    """The keys of Cohere's list that Jina's has not."""
    endpoints = [_COHERE_ENDPOINTS[listing.model.card.kind]]
    return {"endpoints": endpoints, "default_endpoints": [], "finetuned": False, "tokenizer_url": None}
