"""The adapters of a checkpoint, put beside the layers that they are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gateway.python_backend.adapted_linear import AdaptedLinear, row_mask
from gateway.python_backend.adapter_settings import AdapterSettings, read_adapter_settings
from gateway.python_backend.checkpoint import StoredTensor, read_tensors, stored_tensors
from gateway.python_backend.faults import LoadError
from gateway.python_backend.network import Network
from gateway.python_backend.placement import Placement
from gateway.python_backend.weight_names import PROJECTOR, adapter_place

FOLDER = "adapters"
SETTINGS_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"

# A rank for masks that nothing reads.
NO_ADAPTERS = AdapterSettings(rank=1, scaling=1.0)

Place = tuple[str, str, str]
"""A layer's name, a task, "A" or "B"."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """The tasks in the order by which rows name them; none for a checkpoint of one task."""

    tasks: tuple[str, ...] = ()
    settings: AdapterSettings = NO_ADAPTERS

    @property
    def choices(self) -> int:
        """How many values a row's adapter may have: without adapters it is 0 for all."""
        return max(1, len(self.tasks))

    def mask(self, rows: Sequence[int], like: Any) -> Any:
        """What `chosen_adapters` takes for rows of these adapters."""
        rank, scaling = self.settings.rank, self.settings.scaling
        return row_mask(rows, tasks=self.choices, rank=rank, scaling=scaling, like=like)


def attach_adapters(network: Network, version_folder: Path, tasks: Sequence[str], placement: Placement) -> Adapters:
    """Puts an `AdaptedLinear` in the place of every layer that the checkpoint has adapters for.

    Raises `LoadError` unless the checkpoint's tasks are `tasks`, and every adapter fits a linear layer and is there for
    all tasks.
    """
    folder = version_folder / FOLDER
    places = _places(folder / WEIGHTS_FILE) if folder.is_dir() else {}
    found = {task for _, task, _ in places}
    if found != set(tasks) or len(tasks) != len(found):
        raise LoadError(
            f"the checkpoint has adapters for {_listed(found)}; the parameter adapters names {_listed(tasks)}."
        )
    if not tasks:
        return Adapters()
    adapters = Adapters(tuple(tasks), read_adapter_settings(folder / SETTINGS_FILE))
    for name in sorted({module for module, _, _ in places}):
        _attach(network, name, places, adapters, placement)
    return adapters


def _places(file: Path) -> dict[Place, StoredTensor]:
    if not file.is_file():
        raise LoadError(f"{FOLDER}/{WEIGHTS_FILE} is missing in version folder {file.parent.parent.name}.")
    places: dict[Place, StoredTensor] = {}
    for tensor in stored_tensors([file]):
        place = adapter_place(tensor.key)
        if place is None:
            raise LoadError(f"{WEIGHTS_FILE} holds {tensor.key}, which is no adapter's.")
        if place in places:
            raise LoadError(f"{WEIGHTS_FILE} holds {places[place].key} and {tensor.key}, which are the same weight.")
        places[place] = tensor
    return places


def _attach(
    network: Network, name: str, places: dict[Place, StoredTensor], adapters: Adapters, placement: Placement
) -> None:
    path = name if name == PROJECTOR else f"model.{name}"
    base = _linear(network, name, path)
    halves = [_concatenated(name, side, base, places, adapters, placement) for side in "AB"]
    parent, _, leaf = path.rpartition(".")
    setattr(network.get_submodule(parent), leaf, AdaptedLinear(base, *halves).eval())


def _linear(network: Network, name: str, path: str) -> Any:
    """Rows choose adapters, and the vision tower knows patches only."""
    base = dict(network.named_modules()).get(path)
    if not isinstance(base, nn.Linear) or name.startswith("visual."):
        raise LoadError(f"{WEIGHTS_FILE} has adapters for {name}, which is no linear layer that can have them here.")
    return base


def _concatenated(
    name: str, side: str, base: Any, places: dict[Place, StoredTensor], adapters: Adapters, placement: Placement
) -> Any:
    """The tasks' A [tasks * rank, inputs], or their B [outputs, tasks * rank]."""
    rank = adapters.settings.rank
    shape = (rank, base.in_features) if side == "A" else (base.out_features, rank)
    parts = []
    for task in adapters.tasks:
        tensor = places.get((name, task, side))
        if tensor is None:
            raise LoadError(f"{WEIGHTS_FILE} lacks lora_{side} of {task} for {name}.")
        if tensor.shape != shape:
            raise LoadError(f"{tensor.key} has shape {tensor.shape}; by config.json and its rank it has to be {shape}.")
        ((_, value),) = read_tensors([tensor])
        parts.append(value.to(device=placement.device, dtype=placement.dtype, copy=True))
    return torch.cat(parts, dim=0 if side == "A" else 1)


def _listed(names: Sequence[str] | set[str]) -> str:
    return ", ".join(sorted(names)) or "no task"
