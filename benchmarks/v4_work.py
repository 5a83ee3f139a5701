"""How many floating-point operations a forward of jina-embeddings-v4 takes, counted from its sizes.

A multiplication and an addition are two. Matrix products are counted, which are all but all of it; causal attention
with the half that is computed, adapters of all tasks as they are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def text_operations(config: Any, lengths: Sequence[int], *, adapter_rank: int) -> int:
    """Of rows of texts of these lengths, in tokens; `adapter_rank` is that of all tasks together."""
    text = config.text_config
    per_token: int = text.num_hidden_layers * sum(
        2 * outputs * inputs + 2 * adapter_rank * (outputs + inputs) for outputs, inputs in _linears(text)
    )
    attention = sum(_causal(text, length) for length in lengths)
    return per_token * sum(lengths) + attention


def image_operations(config: Any, grids: Sequence[tuple[int, int]], *, prompt_tokens: int, adapter_rank: int) -> int:
    """Of rows of one image each. `grids` are rows and columns of patches; `prompt_tokens` stand around each image."""
    vision = config.vision_config
    merged = vision.spatial_merge_size**2
    lengths = [rows * columns // merged + prompt_tokens for rows, columns in grids]
    tower = sum(_tower(vision, rows, columns) for rows, columns in grids)
    return tower + text_operations(config, lengths, adapter_rank=adapter_rank)


def _linears(text: Any) -> list[tuple[int, int]]:
    """Outputs and inputs of every linear layer of one layer of the language model."""
    size, inner = text.hidden_size, text.intermediate_size
    shared = text.num_key_value_heads * (size // text.num_attention_heads)
    return [(size, size), (shared, size), (shared, size), (size, size), (inner, size), (inner, size), (size, inner)]


def _causal(text: Any, length: int) -> int:
    """Of all layers: scores and their use for values, of each token with itself and those before it."""
    return int(text.num_hidden_layers * 2 * 2 * text.hidden_size * (length * (length + 1) // 2))


def _tower(vision: Any, rows: int, columns: int) -> int:
    """Of one image. Patches see their window, and in some blocks the whole image."""
    patches, size, inner = rows * columns, vision.hidden_size, vision.intermediate_size
    inputs = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    merged = vision.spatial_merge_size**2
    linear = vision.depth * (4 * size * size + 3 * size * inner) + inputs * size
    merger = (merged * size) ** 2 + merged * size * vision.out_hidden_size
    whole = len(vision.fullatt_block_indexes)
    seen = whole * patches**2 + (vision.depth - whole) * sum(
        height**2 * width**2 for height in _windows(vision, rows) for width in _windows(vision, columns)
    )
    return int(2 * patches * linear + 2 * (patches // merged) * merger + 4 * size * seen)


def _windows(vision: Any, patches: int) -> list[int]:
    """Sides of the windows along one side of the image, in patches."""
    side = vision.window_size // vision.patch_size
    return [min(side, patches - start) for start in range(0, patches, side)]
