"""What an ONNX file takes and gives, read from its graph without loading weights, and what each input is fed with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import onnx

from gateway.artifacts.adding.model_config import ModelConfig
from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.onnx_inspection import DATA_TYPES
from gateway.cards.triton_spec import INPUT_TYPES, GraphInput, InputRole, TensorSpec

INPUT_ROLES: Mapping[str, InputRole] = {
    "input_ids": InputRole.TOKEN_IDS,
    "attention_mask": InputRole.ATTENTION_MASK,
    "token_type_ids": InputRole.TOKEN_TYPE_IDS,
    "position_ids": InputRole.POSITION_IDS,
}

_FLOATS = ("TYPE_FP32", "TYPE_FP16", "TYPE_BF16", "TYPE_FP64")


@dataclass(frozen=True, slots=True)
class GraphTensor:
    """`data_type` is Triton's word. `dims` has -1 where a size is open; None where the graph states no shape."""

    name: str
    data_type: str
    dims: tuple[int, ...] | None

    @property
    def is_float(self) -> bool:
        return self.data_type in _FLOATS

    @property
    def last_size(self) -> int | None:
        """The size of the last axis; None where it is open."""
        return self.dims[-1] if self.dims and self.dims[-1] > 0 else None

    def has_rank(self, rank: int) -> bool:
        """Whether it has, or may have, that many axes."""
        return self.dims is None or len(self.dims) == rank


@dataclass(frozen=True, slots=True)
class Signature:
    """`inputs` are those that have to be fed: the ones with a default inside are left out."""

    inputs: tuple[GraphTensor, ...]
    outputs: tuple[GraphTensor, ...]

    def output(self, name: str) -> GraphTensor | None:
        return next((output for output in self.outputs if output.name == name), None)


def signature_of(model: onnx.ModelProto) -> Signature:
    defaults = {tensor.name for tensor in model.graph.initializer}
    return Signature(
        inputs=tuple(_tensor(value) for value in model.graph.input if value.name not in defaults),
        outputs=tuple(map(_tensor, model.graph.output)),
    )


def graph_inputs(signature: Signature, config: ModelConfig) -> tuple[GraphInput, ...]:
    """What every input is fed with, by its name.

    Raises `CannotServe` for an input that nothing here belongs into, and for a graph that cannot read several texts of
    different lengths at once.
    """
    unknown = [tensor.name for tensor in signature.inputs if tensor.name not in INPUT_ROLES]
    if unknown:
        raise _unknown_inputs(unknown)
    names = {tensor.name for tensor in signature.inputs}
    for needed in ("input_ids", "attention_mask"):
        if needed not in names:
            raise CannotServe(
                f"The graph has no input {needed}: its inputs are {', '.join(sorted(names)) or 'none'}.",
                remedy="Without it texts of different lengths cannot share a call. Export the model again with it.",
            )
    if "position_ids" in names and config.position_offset:
        raise CannotServe(
            f"The graph asks for position_ids, which begin at {config.position_offset} in a {config.model_type} and "
            "are fed from 0 on here.",
            remedy="Export the model without position_ids; it works them out itself.",
        )
    faults = list(_input_faults(signature.inputs))
    if faults:
        raise CannotServe(
            f"The graph was exported for other inputs than rows of token ids of any number and length: {faults[0]}.",
            remedy="Export it again with dynamic axes for batch and sequence.",
        )
    return tuple(
        GraphInput(TensorSpec(tensor.name, tensor.data_type, (-1, -1)), INPUT_ROLES[tensor.name])
        for tensor in signature.inputs
    )


def _unknown_inputs(names: list[str]) -> CannotServe:
    listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    if any(name.startswith("past_key_values") for name in names):
        remedy = "This export is for writing texts. Export the model for feature extraction instead."
    elif any(name in ("pixel_values", "input_features") for name in names):
        remedy = "Only texts are embedded here. Where the part for texts is a file of its own, name that with --file."
    elif "task_id" in names:
        remedy = "A model with an adapter for each task needs a card by hand, like jina-embeddings-v3's."
    else:
        remedy = "Nobody says what belongs in there. Export the model without it, or write its card by hand."
    return CannotServe(f"The graph has required inputs that nothing is known to feed: {listed}.", remedy=remedy)


def _input_faults(inputs: Iterable[GraphTensor]) -> Iterator[str]:
    for tensor in inputs:
        if tensor.data_type not in INPUT_TYPES:
            yield f"{tensor.name} is of type {tensor.data_type}"
        if tensor.dims is not None and tensor.dims != (-1, -1):
            yield f"{tensor.name} has the shape {list(tensor.dims)}"


def _tensor(value: onnx.ValueInfoProto) -> GraphTensor:
    tensor = value.type.tensor_type
    dims = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim)
    data_type = DATA_TYPES.get(tensor.elem_type, f"ONNX type {tensor.elem_type}")
    return GraphTensor(value.name, data_type, dims if tensor.HasField("shape") else None)
