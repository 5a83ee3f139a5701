"""Describes served models as Ollama does: its tags, and what `ollama show` and `ollama ps` print."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from datetime import time as time_of_day
from typing import Any

from gateway.cards.listing import IMAGE, ModelListing
from gateway.cards.schema import ModelKind

_LATEST = ":latest"
# Models stay as long as Triton has them: later than any client waits, and a date that every language knows.
_NEVER = "2200-01-01T00:00:00Z"


def tagged(name: str) -> str:
    """A name as Ollama lists it: with `:latest` where it has no tag of its own."""
    return name if ":" in name else name + _LATEST


def model_tags(listings: Sequence[ModelListing]) -> list[dict[str, Any]]:
    """The entries of `/api/tags`: one a model, and one for each name that the operator gave it."""
    return [_tag(name, listing) for listing in listings for name in _names(listing)]


def running_models(listings: Sequence[ModelListing]) -> list[dict[str, Any]]:
    """The entries of `/api/ps`. How much memory a model takes on its device is not known here."""
    return [
        _entry(name, listing) | {"expires_at": _NEVER, "size_vram": 0, "context_length": listing.max_tokens}
        for listing in listings
        for name in _names(listing)
    ]


def model_facts(listing: ModelListing) -> dict[str, Any]:
    """The body of `/api/show`."""
    card, kind = listing.model.card, listing.model.card.kind.value
    info: dict[str, Any] = {
        "general.architecture": kind,
        "general.basename": listing.model.name,
        "general.license": card.licence,
        "general.organization": listing.model.hub_id.partition("/")[0],
        f"{kind}.context_length": listing.max_tokens,
    }
    if card.vectors is not None:
        info[f"{kind}.embedding_length"] = card.vectors.dimensions
    return {
        "license": card.licence,
        "modelfile": f"# {card.summary}\nFROM {listing.model.hub_id}\n",
        "parameters": "",
        "template": "{{ .Prompt }}",
        "details": _details(listing),
        "model_info": info,
        "capabilities": capabilities(listing),
        "modified_at": _modified_at(listing),
    }


def capabilities(listing: ModelListing) -> list[str]:
    """Ollama's words for what a model can do; it has none for reranking."""
    if listing.model.card.kind is ModelKind.RERANKER:
        return ["rerank"]
    return ["embedding", "vision"] if IMAGE in listing.modalities else ["embedding"]


def _names(listing: ModelListing) -> Iterator[str]:
    yield listing.model.name
    yield from listing.configured_aliases


def _tag(name: str, listing: ModelListing) -> dict[str, Any]:
    return _entry(name, listing) | {
        "modified_at": _modified_at(listing),
        "capabilities": capabilities(listing),
    }


def _entry(name: str, listing: ModelListing) -> dict[str, Any]:
    return {
        "name": tagged(name),
        "model": tagged(name),
        "size": listing.size_bytes,
        "digest": listing.digest or _digest_of_card(listing),
        "details": _details(listing),
    }


def _digest_of_card(listing: ModelListing) -> str:
    """For a model of whose files nothing is known: `ollama list` cuts the first characters off a digest unasked. A
    sha256 in hex of which model it is."""
    model = listing.model
    return hashlib.sha256(f"{model.hub_id}@{model.card.revision}".encode()).hexdigest()


def _details(listing: ModelListing) -> dict[str, Any]:
    """Cards count no parameters, so `parameter_size` stays empty."""
    card = listing.model.card
    details: dict[str, Any] = {
        "parent_model": "",
        "format": card.triton.backend,
        "family": card.kind.value,
        "families": [card.kind.value],
        "parameter_size": "",
        "quantization_level": (listing.variant or "").upper(),
        "context_length": listing.max_tokens,
    }
    if card.vectors is not None:
        details["embedding_length"] = card.vectors.dimensions
    return details


def _modified_at(listing: ModelListing) -> str:
    """When its files were last proved, else when it was released: RFC 3339."""
    if listing.installed_at is not None:
        return listing.installed_at
    return datetime.combine(listing.model.card.released, time_of_day(), UTC).isoformat()
