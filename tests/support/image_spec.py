"""How jina-embeddings-v4 reads images, for tests that need no card."""

from __future__ import annotations

from gateway.cards.schema import ImageSpec

V4_IMAGES = ImageSpec(prompt="<pad>", pad_token="<pad>", unit_pixels=28, min_pixels=3136, max_pixels=602_112)
