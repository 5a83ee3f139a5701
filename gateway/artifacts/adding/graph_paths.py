"""Whether a linear layer lies between two outputs of a graph: the proof that an export contains a Dense stage."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

_MAPS = ("MatMul", "Gemm")


def maps_between(model: onnx.ModelProto, *, tokens: str | None, sentence: str, sizes: tuple[int, int]) -> bool:
    """Whether the way to the output `sentence` has, behind the output `tokens`, a weight matrix of `sizes`.

    What both outputs are computed from lies before the token vectors and does not count, so that a layer of the
    transformer itself is not taken for the stage. Without a token output that cannot be told apart, and only sizes
    that differ prove anything.
    """
    if tokens is None and sizes[0] == sizes[1]:
        return False
    makers = {output: node for node in model.graph.node for output in node.output}
    before = _ancestors(makers, tokens) if tokens is not None else {}
    behind = [node for key, node in _ancestors(makers, sentence).items() if key not in before]
    shapes = _matrices(model)
    used = [name for node in behind for name in node.input]
    linear = any(node.op_type in _MAPS for node in behind)
    return linear and any(shapes.get(name) == tuple(sorted(sizes)) for name in used)


def _ancestors(makers: Mapping[str, onnx.NodeProto], name: str) -> dict[str, onnx.NodeProto]:
    """All nodes that a tensor is computed from, each by the name of its first output."""
    found: dict[str, onnx.NodeProto] = {}
    waiting = [name]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.output[0] not in found:
            found[node.output[0]] = node
            waiting.extend(node.input)
    return found


def _matrices(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """The sizes of every weight matrix, the smaller one first: exporters store them either way round."""
    return {tensor.name: tuple(sorted(tensor.dims)) for tensor in model.graph.initializer if len(tensor.dims) == 2}
