"""Changing a graph's names and leaving out what nothing needs any more, nested graphs included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onnx import GraphProto, NodeProto

from gateway.artifacts.graphs.published_graph import nested_graphs


def rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Give values new names, wherever they are made or read."""
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for value in (*graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        _replace(node.input, names)
        _replace(node.output, names)
        for nested in nested_graphs(node):
            rename(nested, names)


def names_in(graph: GraphProto) -> set[str]:
    """Every name of a value in the graph."""
    names = {value.name for value in (*graph.input, *graph.initializer, *graph.output)}
    names.update(sparse.values.name for sparse in graph.sparse_initializer)
    for node in graph.node:
        names.update(node.input, node.output)
        for nested in nested_graphs(node):
            names |= names_in(nested)
    return names


def drop_unused(graph: GraphProto, wanted: Sequence[str]) -> None:
    """Leave out every node, weight and note that none of the values `wanted` depends on. Inputs stay."""
    needed = set(wanted)
    kept: list[NodeProto] = []
    # Nodes are in an order in which each comes after those that it reads from.
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(_read_by(node))
            kept.append(node)
    _keep(graph.node, list(reversed(kept)))
    _keep(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed])
    sparse = [tensor for tensor in graph.sparse_initializer if tensor.values.name in needed]
    _keep(graph.sparse_initializer, sparse)
    made = {name for node in graph.node for name in node.output}
    _keep(graph.value_info, [value for value in graph.value_info if value.name in made])
    notes = [note for note in graph.quantization_annotation if note.tensor_name in made | needed]
    _keep(graph.quantization_annotation, notes)


def _read_by(node: NodeProto) -> Iterator[str]:
    """What a node reads, and everything named in its nested graphs, which may read from outside."""
    yield from node.input
    for nested in nested_graphs(node):
        yield from names_in(nested)


def _replace(names: Any, by: Mapping[str, str]) -> None:
    for place, name in enumerate(names):
        if name in by:
            names[place] = by[name]


def _keep(field: Any, kept: Sequence[Any]) -> None:
    """Make `kept`, taken out of the repeated field itself, all that is in it."""
    if len(kept) < len(field):
        copies = [type(item).FromString(item.SerializeToString()) for item in kept]
        del field[:]
        field.extend(copies)
