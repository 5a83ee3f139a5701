"""How many tokens a model reads: what its authors state, never more than it has positions for, and tried out.

The order is that of sentence-transformers 6.2: a stated `max_seq_length`, else the smaller of the tokenizer's and the
transformer's own limits.
"""

from __future__ import annotations

import numpy as np

from gateway.artifacts.adding.model_config import ModelConfig
from gateway.artifacts.adding.published import Document, Fact
from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.inference import GraphRun, padded
from gateway.artifacts.measuring import load_tokenizer
from gateway.artifacts.onnx_inspection import graph_path
from gateway.cards.schema import Card
from gateway.errors import ArtifactError
from gateway.text.canary_row import canary_row

# Tokenizers that know no limit say 1e30.
_NO_LIMIT = 10**8
# Attention over longer rows takes gigabytes and minutes on a CPU. Models with longer windows seldom have a table.
_MOST_PROBED_TOKENS = 1024


def choose_window(
    asked: int | None, *, stage: Fact[Document], tokenizer: Fact[Document], config: ModelConfig
) -> Fact[int]:
    """The window in tokens, special tokens included.

    `asked` is the operator's word. Raises `CannotServe` where it is more than the model has positions for, or where
    nobody states any.
    """
    limit = config.position_limit
    if asked is not None:
        if limit is not None and asked > limit:
            raise CannotServe(
                f"--max-tokens {asked} is more than the {limit} positions that the model has ({config.path}).",
                remedy=f"Give {limit} at most.",
            )
        return Fact(asked, "--max-tokens")
    stated = _stated(stage, tokenizer, config)
    if stated is None:
        raise CannotServe(
            f"Neither {stage.source} nor {tokenizer.source} nor {config.path} says how many tokens the model reads.",
            remedy="State it with --max-tokens N, as its authors describe it.",
        )
    if limit is not None and stated.value > limit:
        return Fact(limit, f"{config.path}: positions of its table, fewer than the {stated.value} of {stated.source}")
    return stated


def probe_window(card: Card) -> None:
    """Run one row as long as the window, of up to 1,024 tokens: a position table may end before what is stated.

    Raises `CannotServe` where the graph fails on it. A longer window is not tried out."""
    window = card.tokenizer.max_tokens
    if window > _MOST_PROBED_TOKENS:
        return
    row = np.resize(canary_row(card, load_tokenizer(card)).ids, window)
    try:
        GraphRun(card, graph_path(card)).results(padded([row], pad_id=card.tokenizer.pad_id))
    except ArtifactError as error:
        raise CannotServe(
            f"The model cannot read {window} tokens, the window that is stated: {error.message}",
            remedy="Give a smaller window with --max-tokens N, as its authors describe it.",
        ) from error


def _stated(stage: Fact[Document], tokenizer: Fact[Document], config: ModelConfig) -> Fact[int] | None:
    explicit = _limit(stage.value.get("max_seq_length")) or _limit(_tokenizer_settings(stage).get("model_max_length"))
    if explicit is not None:
        return Fact(explicit, stage.source)
    limits = []
    own = _limit(tokenizer.value.get("model_max_length"))
    if own is not None:
        limits.append(Fact(own, tokenizer.source))
    if config.max_positions is not None:
        limits.append(Fact(config.position_limit or config.max_positions, config.path))
    return min(limits, key=lambda limit: limit.value, default=None)


def _tokenizer_settings(stage: Fact[Document]) -> Document:
    """Arguments that the stage hands to its tokenizer, under the name of today or the one before."""
    for name in ("processor_kwargs", "tokenizer_args"):
        settings = stage.value.get(name)
        if isinstance(settings, dict):
            return settings
    return {}


def _limit(value: object) -> int | None:
    """A number of tokens; None for anything that sets no limit."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < _NO_LIMIT:
        return None
    return int(value)
