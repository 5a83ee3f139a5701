"""transformers' own Qwen2.5-VL with the weights of a checkpoint, of which no second copy is held at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import Qwen2_5_VLModel

from gateway.python_backend.checkpoint import StoredTensor, read_tensors
from gateway.python_backend.faults import LoadError
from gateway.python_backend.placement import Placement
from gateway.python_backend.weight_names import PROJECTOR, weight_name

_NAMED = 5


class Network(nn.Module):  # type: ignore[misc]  # torch is not looked into
    """The model, and the projector of its multi-vector output where the checkpoint has one."""

    def __init__(self, model: Any, projector: Any | None) -> None:
        super().__init__()
        self.model = model
        self.multi_vector_projector = projector


def build_network(config: Any, stored: Sequence[StoredTensor], placement: Placement) -> Network:
    """The network on its device and in its type, ready for inference.

    It is built without memory, then each tensor is put in its place as it is read. Raises `LoadError` unless every
    weight is stored exactly once, in the right shape, and nothing else is.
    """
    network = _empty(config, stored, placement.attention)
    sources = _matched(network, stored)
    names = {tensor: name for name, tensor in sources.items()}
    for tensor, value in read_tensors(list(sources.values())):
        put(network, names[tensor], value.to(device=placement.device, dtype=placement.dtype, copy=True))
    _restore_frequencies(network, placement.device)
    network.eval()
    return network


def parameter_names(network: Network) -> dict[str, str]:
    """Each parameter's path in the network by the name that checkpoints' names are brought to."""
    return {path.removeprefix("model."): path for path, _ in network.named_parameters()}


def put(network: Network, path: str, value: Any) -> None:
    """Sets a parameter to a tensor, which is not copied."""
    module_path, _, name = path.rpartition(".")
    setattr(network.get_submodule(module_path), name, nn.Parameter(value, requires_grad=False))


def _empty(config: Any, stored: Sequence[StoredTensor], attention: str) -> Network:
    shapes = {weight_name(tensor.key): tensor.shape for tensor in stored}
    with torch.device("meta"):
        model = Qwen2_5_VLModel(config)
        projector = _projector(shapes)
    model.set_attn_implementation(attention)
    return Network(model, projector)


def _projector(shapes: Mapping[str | None, tuple[int, ...]]) -> Any | None:
    shape = shapes.get(f"{PROJECTOR}.weight")
    return None if shape is None else nn.Linear(shape[-1], shape[0])


def _matched(network: Network, stored: Sequence[StoredTensor]) -> dict[str, StoredTensor]:
    """The stored tensor of each parameter's path."""
    paths = parameter_names(network)
    sources: dict[str, StoredTensor] = {}
    unexpected = []
    for tensor in stored:
        name = weight_name(tensor.key)
        if name is None:
            continue
        path = paths.get(name)
        if path is None:
            unexpected.append(tensor.key)
        elif path in sources:
            raise LoadError(f"the checkpoint holds {sources[path].key} and {tensor.key}, which are the same weight.")
        else:
            _check_shape(tensor, tuple(network.get_parameter(path).shape))
            sources[path] = tensor
    _refuse("lacks weights that the model has", sorted(name for name, path in paths.items() if path not in sources))
    _refuse("holds weights that the model does not have", sorted(unexpected))
    return sources


def _check_shape(tensor: StoredTensor, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise LoadError(f"{tensor.key} has shape {tensor.shape}; by config.json it has to be {shape}.")


def _refuse(fault: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        raise LoadError(f"the checkpoint {fault}: {', '.join(names[:_NAMED])}{more}.")


def _restore_frequencies(network: Network, device: Any) -> None:
    """Checkpoints do not hold rotary frequencies. They are computed anew, and stay float32 in every type: rounded to
    bfloat16 they would be off by whole turns at long positions."""
    without_values = [
        (path, module)
        for path, module in network.named_modules()
        if any(buffer.is_meta for buffer in module.buffers(recurse=False))
    ]
    for path, module in without_values:
        parent, _, name = path.rpartition(".")
        setattr(network.get_submodule(parent), name, type(module)(module.config).to(device))
