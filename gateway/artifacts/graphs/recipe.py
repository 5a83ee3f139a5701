"""What a serving graph is made by, in a few digits, so that a changed card is seen without building anything."""

from __future__ import annotations

import hashlib
import json

from gateway.cards.schema import Card

# The word for the builder of `gateway.artifacts.graphs.serving` in cards.
SERVING = "serving"

# Raised when that builder makes something else of the same card and file, so that installed graphs are made anew.
_FORMAT = 1


def recipe(card: Card) -> str:
    """What the serving graph depends on beside the published one, as 16 hexadecimal digits: another card, or another
    builder, makes another graph of the same file."""
    pooling = card.vectors.pooling if card.vectors is not None else None
    inputs = [[item.tensor.name, item.role.value] for item in card.triton.inputs]
    outputs = [[item.tensor.name, item.role.value, *item.tensor.dims] for item in card.triton.outputs]
    config = dict(card.graph.config) if card.graph is not None else {}
    text = json.dumps([_FORMAT, config, pooling, inputs, outputs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
