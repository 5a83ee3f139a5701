"""Random weights of a tiny Qwen2.5-VL with three adapters and a projector, by the upstream checkpoint's names.

Every norm, bias and adapter differs clearly from the value that would hide its loss.
"""

from __future__ import annotations

import numpy as np

from tests.support.twins.drawing import Drawing
from tests.support.twins.safetensors_file import as_bfloat16
from tests.support.twins.twin import Weights

TASKS = ("retrieval", "text-matching", "code")
HIDDEN, INNER, LAYERS, HEADS, GROUPS, SIZE = 64, 96, 2, 4, 2, 16
VISION_HIDDEN, VISION_INNER, VISION_DEPTH = 32, 48, 4
PATCH, TEMPORAL_PATCH, MERGE = 14, 2, 2
TOKEN_DIMENSIONS = 16
# Of the full model both are 32. Here they differ, so that a forgotten scaling shows.
RANK, ALPHA = 4, 8
PROJECTOR = "multi_vector_projector"


def random_weights(vocabulary: int, seed: int = 4) -> Weights:
    """float32 with values that bfloat16 has: text model, vision tower, output layer and projector."""
    draw = Drawing(seed)
    draw.array("model.embed_tokens.weight", vocabulary, HIDDEN, scale=1.0)
    for layer in range(LAYERS):
        _draw_layer(draw, f"model.layers.{layer}")
    _draw_norm(draw, "model.norm", HIDDEN)
    _draw_vision(draw)
    draw.dense("lm_head", HIDDEN, vocabulary, bias=False)
    draw.dense(PROJECTOR, HIDDEN, TOKEN_DIMENSIONS)
    return {name: as_bfloat16(array) for name, array in draw.weights.items()}


def random_adapters(weights: Weights, seed: int = 41) -> Weights:
    """float32 `NAME.lora_A.TASK.weight` [rank, inputs] and `NAME.lora_B.TASK.weight` [outputs, rank] for every linear
    layer of the text model and for the projector."""
    draw = Drawing(seed)
    for name in adapted_names(weights):
        outputs, inputs = weights[f"{name}.weight"].shape
        # A product of both, scaled, has half the base weights' standard deviation.
        scale = (0.5 * inputs**-0.5 * RANK / ALPHA) ** 0.5 / RANK**0.25
        for task in TASKS:
            draw.array(f"{name}.lora_A.{task}.weight", RANK, inputs, scale=scale)
            draw.array(f"{name}.lora_B.{task}.weight", outputs, RANK, scale=scale)
    return draw.weights


def adapted_names(weights: Weights) -> list[str]:
    """The linear layers that have adapters: none of the vision tower."""
    linear = [name.removesuffix(".weight") for name in weights if name.endswith("_proj.weight")]
    return [name for name in linear if name.startswith("model.")] + [PROJECTOR]


def merged(weights: Weights, adapters: Weights, task: str) -> Weights:
    """float32 weights under the same names with a task's adapters folded in: W + alpha / rank * B A."""
    folded = dict(weights)
    for name in adapted_names(weights):
        a, b = (adapters[f"{name}.lora_{part}.{task}.weight"].astype(np.float64) for part in "AB")
        folded[f"{name}.weight"] = (weights[f"{name}.weight"] + ALPHA / RANK * b @ a).astype(np.float32)
    return folded


def _draw_layer(draw: Drawing, name: str) -> None:
    _draw_norm(draw, f"{name}.input_layernorm", HIDDEN)
    draw.dense(f"{name}.self_attn.q_proj", HIDDEN, HEADS * SIZE, scale=1.5)
    draw.dense(f"{name}.self_attn.k_proj", HIDDEN, GROUPS * SIZE, scale=1.5)
    draw.dense(f"{name}.self_attn.v_proj", HIDDEN, GROUPS * SIZE)
    draw.dense(f"{name}.self_attn.o_proj", HEADS * SIZE, HIDDEN, bias=False)
    _draw_norm(draw, f"{name}.post_attention_layernorm", HIDDEN)
    draw.dense(f"{name}.mlp.gate_proj", HIDDEN, INNER, bias=False)
    draw.dense(f"{name}.mlp.up_proj", HIDDEN, INNER, bias=False)
    draw.dense(f"{name}.mlp.down_proj", INNER, HIDDEN, bias=False)


def _draw_vision(draw: Drawing) -> None:
    inputs = 3 * TEMPORAL_PATCH * PATCH * PATCH
    draw.array("visual.patch_embed.proj.weight", VISION_HIDDEN, 3, TEMPORAL_PATCH, PATCH, PATCH, scale=2 * inputs**-0.5)
    for block in range(VISION_DEPTH):
        name = f"visual.blocks.{block}"
        _draw_norm(draw, f"{name}.norm1", VISION_HIDDEN)
        draw.dense(f"{name}.attn.qkv", VISION_HIDDEN, 3 * VISION_HIDDEN, scale=1.5)
        draw.dense(f"{name}.attn.proj", VISION_HIDDEN, VISION_HIDDEN)
        _draw_norm(draw, f"{name}.norm2", VISION_HIDDEN)
        draw.dense(f"{name}.mlp.gate_proj", VISION_HIDDEN, VISION_INNER)
        draw.dense(f"{name}.mlp.up_proj", VISION_HIDDEN, VISION_INNER)
        draw.dense(f"{name}.mlp.down_proj", VISION_INNER, VISION_HIDDEN)
    _draw_norm(draw, "visual.merger.ln_q", VISION_HIDDEN)
    merged_size = VISION_HIDDEN * MERGE**2
    draw.dense("visual.merger.mlp.0", merged_size, merged_size)
    draw.dense("visual.merger.mlp.2", merged_size, HIDDEN, scale=1.5)


def _draw_norm(draw: Drawing, name: str, size: int) -> None:
    """An RMS norm has no bias."""
    draw.norm(name, size)
    del draw.weights[f"{name}.bias"]
