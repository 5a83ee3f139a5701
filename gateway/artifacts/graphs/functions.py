"""How large an ONNX graph becomes once its functions are written out, which ONNX Runtime does before anything runs.

A few dozen functions that each call the next one twice would keep it busy for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter

from onnx import FunctionProto, ModelProto, NodeProto

from gateway.artifacts.graphs.wire import BrokenWire

# Graphs of the largest models have some tens of thousands.
MAX_NODES = 1_000_000

_Key = tuple[str, str, str]


def check_functions(model: ModelProto) -> None:
    """Raises `BrokenWire` for functions that call themselves, or make the graph larger than `MAX_NODES`."""
    calls = {_key(function.domain, function.name, function): _called(function.node) for function in model.functions}
    sizes: dict[_Key, int] = {}
    try:
        for key in TopologicalSorter(calls).static_order():
            # What is no function of the model's is an operator: one node.
            sizes[key] = 1 + sum(sizes[called] for called in calls.get(key, ()))
            _check(sizes[key])
    except CycleError as error:
        raise BrokenWire("it has a function that calls itself") from error
    if calls:
        _check(sum(sizes.get(called, 1) for called in _called(model.graph.node)))


def _check(size: int) -> None:
    if size > MAX_NODES:
        raise BrokenWire(f"its functions make it larger than {MAX_NODES} nodes")


def _called(nodes: Iterable[NodeProto]) -> list[_Key]:
    return [_key(node.domain, node.op_type, node) for node in _all(nodes)]


def _all(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """The nodes and those of their bodies, to the depth that protobuf reads."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from _all(body.node)


def _key(domain: str, name: str, message: NodeProto | FunctionProto) -> _Key:
    return domain, name, message.overload
