"""A published ONNX graph without its weights: they stay where they lie, be that in a data file or in the .onnx itself.

Weights of single-file graphs become external data that points at their bytes inside that very file, so a graph of any
size is read in megabytes and never copied. Small constants stay in the graph, as shape inference needs their values.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, Message
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from gateway.artifacts.graphs.functions import check_functions
from gateway.artifacts.graphs.wire import BrokenWire, Field, fields, written
from gateway.errors import ArtifactError

# What exporters keep in the graph's own file however the rest is stored.
SMALLEST_EXTERNAL_BYTES = 1024


def read_published(path: Path, *, own_name: str | None = None) -> ModelProto:
    """The graph in `path`, its larger weights external: at their own places, or in `path` itself, which they call by
    its file name or by `own_name`.

    Raises `ArtifactError` when the file cannot be read or is no ONNX graph.
    """
    try:
        with _mapped(path) as data:
            light = b"".join(
                _Lightening(data, location=path.name if own_name is None else own_name).model(0, len(data))
            )
        model: ModelProto = ModelProto.FromString(light)
        _check_in_functions(model)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (BrokenWire, DecodeError) as error:
        raise ArtifactError(f"{path} is not an ONNX graph: {error}.") from error
    if not model.graph.output:
        raise ArtifactError(f"{path} is not an ONNX graph: it has no outputs.")
    _constants_to_initializers(model.graph)
    return model


def external_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every tensor that lies outside the graph's own message, those of nested graphs included."""
    own = [*graph.initializer, *(tensor for sparse in graph.sparse_initializer for tensor in _parts(sparse))]
    for tensor in own:
        if tensor.data_location == TensorProto.EXTERNAL:
            yield tensor
    for node in graph.node:
        for attribute in node.attribute:
            yield from _external_of(attribute)


def entries_of(tensor: TensorProto) -> dict[str, str]:
    """What an external tensor says of its place: `location`, and mostly `offset` and `length`."""
    return {entry.key: entry.value for entry in tensor.external_data}


def nested_graphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs in a node's attributes: bodies of loops and branches."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _external_of(attribute: AttributeProto) -> Iterator[TensorProto]:
    tensors = [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
    sparse = [*([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []), *attribute.sparse_tensors]
    tensors += [part for one in sparse for part in _parts(one)]
    yield from (tensor for tensor in tensors if tensor.data_location == TensorProto.EXTERNAL)
    for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
        yield from external_tensors(graph)


def _check_in_functions(model: ModelProto) -> None:
    """External data is not specified for functions, and nobody looks for it there."""
    check_functions(model)
    for function in model.functions:
        if any(True for node in function.node for attribute in node.attribute for _ in _external_of(attribute)):
            raise BrokenWire("it has a function with weights outside the graph")


def _parts(sparse: onnx.SparseTensorProto) -> Iterable[TensorProto]:
    return (sparse.values, sparse.indices)


@contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    """The file's bytes, read from disk only where they are looked at."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise BrokenWire("it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as data:
            yield data


class _Lightening:
    """Copies messages of `data`, with references in place of large `raw_data`. Positions are those in `data`."""

    def __init__(self, data: memoryview, *, location: str) -> None:
        self._data = data
        self._location = location

    def model(self, start: int, end: int) -> Iterator[bytes]:
        graph = _number(ModelProto, "graph")
        for field in fields(self._data, start, end):
            if field.number == graph and field.is_bytes:
                yield written(field.number, b"".join(self._graph(field)))
            else:
                yield self._copied(field)

    def _graph(self, graph: Field) -> Iterator[bytes]:
        inside = {_number(GraphProto, "initializer"): self._tensor, _number(GraphProto, "node"): self._node}
        for field in fields(self._data, graph.value_start, graph.end):
            lighten = inside.get(field.number)
            if lighten is not None and field.is_bytes and field.size >= SMALLEST_EXTERNAL_BYTES:
                yield written(field.number, b"".join(lighten(field)))
            else:
                yield self._copied(field)

    def _node(self, node: Field) -> Iterator[bytes]:
        """Only the values of Constant nodes: weights inside loops and branches stay where they are."""
        parts = list(fields(self._data, node.value_start, node.end))
        kind = _number(NodeProto, "op_type")
        is_constant = any(part.number == kind and self._value(part) == b"Constant" for part in parts)
        attribute = _number(NodeProto, "attribute")
        for field in parts:
            if is_constant and field.number == attribute and field.is_bytes:
                yield written(field.number, b"".join(self._attribute(field)))
            else:
                yield self._copied(field)

    def _attribute(self, attribute: Field) -> Iterator[bytes]:
        tensor = _number(AttributeProto, "t")
        for field in fields(self._data, attribute.value_start, attribute.end):
            if field.number == tensor and field.is_bytes:
                yield written(field.number, b"".join(self._tensor(field)))
            else:
                yield self._copied(field)

    def _tensor(self, tensor: Field) -> Iterator[bytes]:
        raw = _number(TensorProto, "raw_data")
        for field in fields(self._data, tensor.value_start, tensor.end):
            if field.number == raw and field.is_bytes and field.size >= SMALLEST_EXTERNAL_BYTES:
                yield self._reference(field)
            else:
                yield self._copied(field)

    def _reference(self, raw: Field) -> bytes:
        reference = TensorProto(data_location=TensorProto.EXTERNAL)
        place = (("location", self._location), ("offset", str(raw.value_start)), ("length", str(raw.size)))
        for key, value in place:
            reference.external_data.add(key=key, value=value)
        return bytes(reference.SerializeToString(deterministic=True))

    def _copied(self, field: Field) -> bytes:
        return bytes(self._data[field.start : field.end])

    def _value(self, field: Field) -> bytes:
        return bytes(self._data[field.value_start : field.end])


def _number(message: type[Message], field: str) -> int:
    return int(message.DESCRIPTOR.fields_by_name[field].number)


def _constants_to_initializers(graph: GraphProto) -> None:
    """Turn Constant nodes whose value is external into initializers: external data is specified for those alone."""
    kept = []
    for node in graph.node:
        tensor = next((one.t for one in node.attribute if one.name == "value" and one.HasField("t")), None)
        if node.op_type == "Constant" and tensor is not None and tensor.data_location == TensorProto.EXTERNAL:
            moved = graph.initializer.add()
            moved.CopyFrom(tensor)
            moved.name = node.output[0]
        else:
            kept.append(node)
    if len(kept) < len(graph.node):
        copies = [NodeProto.FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(copies)
