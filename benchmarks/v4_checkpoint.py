"""A checkpoint of jina-embeddings-v4's size and layout with random weights: speed is measured without a download."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import Qwen2_5_VLModel

from gateway.python_backend.network_config import read_network_config

# Sizes of the published model's config.json.
FULL_SIZE: dict[str, Any] = {
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128000,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "image_token_id": 151655,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
    "vision_config": {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 2048,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "spatial_merge_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
}
# The same network, so small that a processor computes it at once.
TINY_SIZE: dict[str, Any] = FULL_SIZE | {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
    "image_token_id": 127,
    "vision_start_token_id": 125,
    "vision_end_token_id": 126,
    "vision_config": FULL_SIZE["vision_config"]
    | {
        "depth": 3,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 2,
        "out_hidden_size": 64,
        "fullatt_block_indexes": [1],
    },
}
TOKEN_DIMENSIONS = 128
TASKS = ("retrieval", "text-matching", "code")
RANK = 32

# Small enough that values stay finite through all layers.
SPREAD = 0.02
SHARD_BYTES = 4_000_000_000

ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Shapes:
    """Every tensor of the checkpoint and of its adapters, by name."""

    weights: dict[str, tuple[int, ...]]
    adapters: dict[str, tuple[int, ...]]

    @property
    def weight_count(self) -> int:
        return sum(_count(shape) for shape in self.weights.values())

    @property
    def adapter_count(self) -> int:
        return sum(_count(shape) for shape in self.adapters.values())


def shapes_of(config: Any, *, rank: int = RANK) -> Shapes:
    """Without memory for any of them."""
    with torch.device("meta"):
        model = Qwen2_5_VLModel(config)
    weights = {f"model.{name}": tuple(value.shape) for name, value in model.named_parameters()}
    hidden = config.text_config.hidden_size
    projector = {"multi_vector_projector.weight": (TOKEN_DIMENSIONS, hidden)}
    linears = {
        f"model.{name}": (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith("language_model.") and name.endswith(ADAPTED)
    } | {"multi_vector_projector": (TOKEN_DIMENSIONS, hidden)}
    adapters: dict[str, tuple[int, ...]] = {
        f"base_model.model.{name}.lora_{side}.{task}.weight": (rank, inputs) if side == "A" else (outputs, rank)
        for name, (outputs, inputs) in linears.items()
        for task in TASKS
        for side in "AB"
    }
    return Shapes(weights | projector | {"multi_vector_projector.bias": (TOKEN_DIMENSIONS,)}, adapters)


def write_checkpoint(folder: Path, raw_config: dict[str, Any], *, rank: int = RANK, seed: int = 0) -> Shapes:
    """The files that `load_embedder` reads, bfloat16 and of a few gigabytes at the full size; one shard in memory."""
    (folder / "adapters").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(raw_config))
    shapes = shapes_of(read_network_config(folder / "config.json"), rank=rank)
    random = torch.Generator().manual_seed(seed)
    places: dict[str, str] = {}
    for number, names in enumerate(_shards(shapes.weights)):
        file = f"model-{number:05d}.safetensors"
        save_file({name: _random(shapes.weights[name], random) for name in names}, folder / file)
        places |= dict.fromkeys(names, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "bias": "none"}
    (folder / "adapters" / "adapter_config.json").write_text(json.dumps(settings))
    adapters = {name: _random(shape, random) for name, shape in shapes.adapters.items()}
    save_file(adapters, folder / "adapters" / "adapter_model.safetensors")
    return shapes


def _random(shape: tuple[int, ...], random: torch.Generator) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.bfloat16).normal_(std=SPREAD, generator=random)


def _shards(shapes: dict[str, tuple[int, ...]]) -> Iterator[list[str]]:
    names: list[str] = []
    size = 0
    for name, shape in shapes.items():
        if names and size + 2 * _count(shape) > SHARD_BYTES:
            yield names
            names, size = [], 0
        names.append(name)
        size += 2 * _count(shape)
    yield names


def _count(shape: tuple[int, ...]) -> int:
    return math.prod(shape)
