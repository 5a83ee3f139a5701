"""A Pooling stage's `config.json`, in the schema of today and in the one before, which had a flag for each mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.artifacts.adding.published import Document
from gateway.artifacts.adding.refusal import USE_THEIR_LIBRARY, CannotServe

# sentence-transformers' words for poolings, and ours (`gateway.vectors.pooling.POOLINGS`).
MODES: Mapping[str, str] = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weighted_mean",
    "lasttoken": "last_token",
}

# The flags of the older schema in the order in which several of them are joined.
_FLAGS: Mapping[str, str] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True, slots=True)
class PoolingStage:
    """`modes` are ours; several are put one after the other into one vector. `dimensions` are those of one token."""

    modes: tuple[str, ...]
    include_prompt: bool = True
    dimensions: int | None = None


def read_pooling(config: Document, path: str) -> PoolingStage:
    """As sentence-transformers 6.2 reads it: `pooling_mode` wins over the flags, and no flag at all means the mean.

    Raises `CannotServe` for a mode that it does not know either.
    """
    modes = _modes(config)
    unknown = [mode for mode in modes if mode not in MODES]
    if unknown or not modes:
        stated = ", ".join(unknown) or "nothing"
        raise CannotServe(
            f"{path} asks for the pooling {stated}, which is not known: {', '.join(MODES)} are.",
            remedy=USE_THEIR_LIBRARY,
        )
    size = config.get("embedding_dimension", config.get("word_embedding_dimension"))
    return PoolingStage(
        modes=tuple(MODES[mode] for mode in modes),
        include_prompt=bool(config.get("include_prompt", True)),
        dimensions=size if isinstance(size, int) and size > 0 else None,
    )


def _modes(config: Document) -> list[str]:
    stated = config.get("pooling_mode")
    if isinstance(stated, str):
        return [stated]
    if isinstance(stated, list):
        return [str(mode) for mode in stated]
    return [mode for flag, mode in _FLAGS.items() if config.get(flag)] or ["mean"]
