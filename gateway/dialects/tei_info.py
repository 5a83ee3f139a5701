"""Describes a served model as TEI's `/info` does."""

from __future__ import annotations

from typing import Any

from gateway.cards.listing import ModelListing
from gateway.dialects.base import ModelDirectory
from gateway.dialects.tei_rerank import LABEL
from gateway.errors import InvalidField, UnknownModel

# The release whose API this is.
VERSION = "1.9.3"

_DTYPES = {"fp16": "float16", "bf16": "bfloat16"}


def model_info(models: ModelDirectory, *, name: str | None, max_inputs: int, tokenizer_threads: int) -> dict[str, Any]:
    """The body of `/info`, of the model named, else of the default one. Raises `UnknownModel`, `EngineUnavailable`.

    Nothing here bounds the number of requests at a time, so TEI's bounds on it are those on the inputs of one request.
    """
    listing = _listing(models, name)
    card = listing.model.card
    return {
        "model_id": listing.model.hub_id,
        "model_sha": card.revision,
        "model_dtype": _DTYPES.get(listing.variant or "", "float32"),
        "served_model_name": listing.model.name,
        "model_type": _model_type(listing),
        "max_concurrent_requests": max_inputs,
        "max_input_length": listing.max_tokens,
        "max_batch_tokens": card.batching.max_batch_tokens,
        "max_batch_requests": None,
        "max_client_batch_size": max_inputs,
        "auto_truncate": True,
        "tokenization_workers": tokenizer_threads,
        "version": VERSION,
        "sha": None,
        "docker_label": None,
    }


def _listing(models: ModelDirectory, name: str | None) -> ModelListing:
    """Where no default is set, or none gives vectors, the first that is served."""
    try:
        return models.resolve(name or None)
    except (InvalidField, UnknownModel):
        served = models.list()
        if name or not served:
            raise
        return served[0]


def _model_type(listing: ModelListing) -> dict[str, Any]:
    vectors = listing.model.card.vectors
    if vectors is None:
        return {"reranker": {"id2label": {"0": LABEL}, "label2id": {LABEL: 0}}}
    return {"embedding": {"pooling": vectors.pooling}}
