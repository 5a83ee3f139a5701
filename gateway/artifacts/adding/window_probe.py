"""Whether the model really reads a text as long as its window: a table of positions may end before what is stated."""

from __future__ import annotations

import numpy as np

from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.inference import GraphRun, padded
from gateway.artifacts.measuring import load_tokenizer
from gateway.artifacts.onnx_inspection import graph_path
from gateway.cards.schema import Card
from gateway.errors import ArtifactError
from gateway.text.canary_row import canary_row

# Attention over longer rows takes gigabytes and minutes on a CPU. Models with longer windows seldom have a table.
MOST_TOKENS = 1024


def probe_window(card: Card) -> None:
    """Run one row as long as the window. Raises `CannotServe` where the graph fails on it, and does nothing for a
    window of more than `MOST_TOKENS`."""
    window = card.tokenizer.max_tokens
    if window > MOST_TOKENS:
        return
    row = np.resize(canary_row(card, load_tokenizer(card)).ids, window)
    try:
        GraphRun(card, graph_path(card)).results(padded([row], pad_id=card.tokenizer.pad_id))
    except ArtifactError as error:
        raise CannotServe(
            f"The model cannot read {window} tokens, the window that is stated: {error.message}",
            remedy="Give a smaller window with --max-tokens N, as its authors describe it.",
        ) from error
