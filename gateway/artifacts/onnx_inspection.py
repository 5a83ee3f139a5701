"""Whether an ONNX file says what its card says, and whether its external data lies where it claims. Loads no weights.

The `onnx` package's own checker is not used for the data: it refuses files that have several hard links.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx

from gateway.artifacts.findings import REPAIR, Finding
from gateway.artifacts.graphs.external_data import data_faults
from gateway.artifacts.graphs.published_graph import external_tensors, read_published
from gateway.cards.schema import VERSION_FOLDER, Card
from gateway.cards.triton_spec import TensorSpec
from gateway.errors import ArtifactError

# Triton's words for ONNX's element types (docs: model_configuration.md, "Datatypes").
DATA_TYPES: dict[int, str] = {
    onnx.TensorProto.BOOL: "TYPE_BOOL",
    onnx.TensorProto.UINT8: "TYPE_UINT8",
    onnx.TensorProto.INT8: "TYPE_INT8",
    onnx.TensorProto.INT32: "TYPE_INT32",
    onnx.TensorProto.INT64: "TYPE_INT64",
    onnx.TensorProto.FLOAT16: "TYPE_FP16",
    onnx.TensorProto.BFLOAT16: "TYPE_BF16",
    onnx.TensorProto.FLOAT: "TYPE_FP32",
    onnx.TensorProto.DOUBLE: "TYPE_FP64",
    onnx.TensorProto.STRING: "TYPE_STRING",
}


def graph_path(card: Card) -> Path:
    return card.path_of(f"{VERSION_FOLDER}/{card.triton.default_model_filename}")


def inspect_graph(card: Card, path: Path | None = None) -> Iterator[Finding]:
    """Findings about signature and external data of the graph that is served, or of one that is to be."""
    path = path or graph_path(card)
    model = _read(card, path, check="graph")
    if isinstance(model, Finding):
        yield model
        return
    yield _signature(card, model)
    yield _external_data(card, path, model)


def inspect_published(card: Card, path: Path) -> Iterator[Finding]:
    """Findings about the published graph that the served one was made from."""
    model = _read(card, path, check="published")
    if isinstance(model, Finding):
        yield model
        return
    faults = list(_input_faults(card, model))
    outputs = {value.name for value in model.graph.output}
    named = [str(name) for name in card.graph.config.values()] if card.graph is not None else []
    faults += [f"the graph has no output {name}" for name in named if name not in outputs]
    if faults:
        detail = f"The card and the graph differ: {'; '.join(faults)}."
        yield Finding("published", path.name, False, detail, "Mend the inputs or graph.config in card.toml.")
    else:
        yield Finding("published", path.name, True, f"Inputs are those of the card; it has {', '.join(named)}.")
    yield _external_data(card, path, model)


def _read(card: Card, path: Path, *, check: str) -> onnx.ModelProto | Finding:
    try:
        return read_published(path)
    except ArtifactError as error:
        detail = f"It cannot be read as ONNX. {error.message}"
        return Finding(check, path.name, False, detail, REPAIR.format(name=card.name))


def _input_faults(card: Card, model: onnx.ModelProto) -> Iterator[str]:
    initializers = {tensor.name for tensor in model.graph.initializer}
    graph_inputs = [value for value in model.graph.input if value.name not in initializers]
    yield from _tensor_faults("input", graph_inputs, [item.tensor for item in card.triton.inputs])
    named = {item.tensor.name for item in card.triton.inputs}
    yield from (f"input {value.name} is not in the card" for value in graph_inputs if value.name not in named)


def _signature(card: Card, model: onnx.ModelProto) -> Finding:
    faults = list(_input_faults(card, model))
    faults += _tensor_faults("output", model.graph.output, [item.tensor for item in card.triton.outputs])
    name = card.triton.default_model_filename
    if faults:
        detail = f"The card and the graph differ: {'; '.join(faults)}."
        return Finding("graph", name, False, detail, "Mend the tensors in card.toml, then run gateway models render.")
    return Finding("graph", name, True, "Inputs and outputs are those of the card.")


def _tensor_faults(kind: str, values: Iterable[onnx.ValueInfoProto], specs: Iterable[TensorSpec]) -> Iterator[str]:
    by_name = {value.name: value.type.tensor_type for value in values}
    for spec in specs:
        found = by_name.get(spec.name)
        if found is None:
            yield f"the graph has no {kind} {spec.name}"
            continue
        data_type = DATA_TYPES.get(found.elem_type, f"ONNX type {found.elem_type}")
        if data_type != spec.data_type:
            yield f"{kind} {spec.name} is {data_type}, the card says {spec.data_type}"
        dims = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in found.shape.dim)
        # Triton takes the value of a rank-0 tensor as shape [1].
        if dims != spec.dims and not (dims == () and spec.dims == (1,)):
            yield f"{kind} {spec.name} has dims {list(dims)}, the card says {list(spec.dims)}"


def _external_data(card: Card, path: Path, model: onnx.ModelProto) -> Finding:
    faults = list(data_faults(path.parent, model))
    if faults:
        more = f" ({len(faults)} faults)" if len(faults) > 1 else ""
        return Finding("external_data", path.name, False, f"{faults[0]}{more}.", REPAIR.format(name=card.name))
    count = sum(1 for _ in external_tensors(model.graph))
    return Finding("external_data", path.name, True, f"{count} tensors lie where the graph says.")
