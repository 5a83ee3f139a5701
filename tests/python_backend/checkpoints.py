"""Copies of a checkpoint that differ from it in one respect, and rows to give to what is loaded from them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from gateway.python_backend.call_rows import CallRow
from gateway.python_backend.embedder import Embedder
from gateway.python_backend.loading import load_embedder
from gateway.python_backend.options import ServingOptions
from gateway.python_backend.placement import Placement

TASKS = ("retrieval", "text-matching", "code")
FIVE_TASKS = ("retrieval.query", "retrieval.passage", "text-matching", "code.query", "code.passage")
ADAPTER_OF = {"retrieval": 0, "text-matching": 1, "code": 2}
CPU_FLOAT32 = Placement(torch.device("cpu"), torch.float32)

Tensors = dict[str, torch.Tensor]


def load(folder: Path, adapters: Sequence[str] = TASKS, *, dtype: Any = torch.float32, tokens: int = 8192) -> Embedder:
    options = ServingOptions(folder=folder, adapters=tuple(adapters), max_forward_tokens=tokens)
    return load_embedder(options, Placement(torch.device("cpu"), dtype))


def copied(source: Path, to: Path) -> Path:
    return Path(shutil.copytree(source, to))


def weights_of(folder: Path) -> Tensors:
    found: Tensors = {}
    for file in sorted(folder.glob("model*.safetensors")):
        found |= load_file(file)
    return found


def with_weights(folder: Path, weights: Tensors) -> Path:
    """In one file, in place of whatever there was."""
    for file in folder.glob("model*.safetensors*"):
        file.unlink()
    save_file({name: tensor.clone() for name, tensor in weights.items()}, folder / "model.safetensors")
    return folder


def with_adapters(folder: Path, change: Callable[[Tensors], Tensors]) -> Path:
    file = folder / "adapters" / "adapter_model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in change(load_file(file)).items()}, file)
    return folder


def with_json(file: Path, **changes: object) -> Path:
    """Values set, or taken away with None."""
    values = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in values.items() if value is not None}))
    return file


def text_row(ids: Sequence[int] | np.ndarray, adapter: int = 0, spans: Sequence[tuple[int, int]] = ()) -> CallRow:
    return CallRow(np.array(ids, np.int64), adapter, 0, len(ids), np.array(spans, np.int64).reshape(-1, 2))


def image_row(oracle: Any, file: bytes, adapter: int = 0) -> CallRow:
    """As an image reaches the model: the oracle's ids, pixels at the size that is read."""
    ids = np.array(oracle.image_ids(file), np.int64)
    start, end = (int(np.flatnonzero(ids == oracle._id(name))[0]) for name in ("<|vision_start|>", "<|vision_end|>"))
    return CallRow(ids, adapter, start, end + 1, np.empty((0, 2), np.int64), oracle.pixels(file))
