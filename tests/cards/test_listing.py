"""What a list of models says of one comes from its card, so that the two cannot disagree."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cards.listing import ModelListing
from gateway.cards.loading import load_model

SHIPPED = Path(__file__).parents[2] / "model_repository"


@pytest.mark.parametrize(
    ("name", "modalities", "multi_vector"),
    [
        ("jina-embeddings-v4", ("text", "image"), True),
        ("jina-embeddings-v3", ("text",), False),
        ("jina-reranker-v2-base-multilingual", ("text",), False),
    ],
)
def test_a_listing_tells_what_a_model_reads_and_gives(
    name: str, modalities: tuple[str, ...], multi_vector: bool
) -> None:
    listing = ModelListing(load_model(SHIPPED / name))
    assert listing.modalities == modalities
    assert listing.multi_vector is multi_vector
