"""Pooling as ONNX nodes: the poolings of `gateway.vectors.pooling`, for graphs that are given a pooled output here.

Only operators that every opset from 11 on has, so that a published graph keeps its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# GatherElements and CumSum came with it.
OLDEST_OPSET = 11
# From which opset on an operator takes its axes as an input instead of an attribute.
_AXES_AS_INPUT = {"Squeeze": 13, "Unsqueeze": 13, "ReduceSum": 13, "ReduceMax": 18}
# A row that is masked throughout gives zeros instead of a division by zero.
_FEWEST_TOKENS = 1.0


class Additions:
    """Nodes to be added to a graph. Names in and out of every method are the graph's own; new ones begin with `prefix`
    and are counted, so that the same calls give the same bytes."""

    def __init__(self, *, opset: int, prefix: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._opset = opset
        self._prefix = prefix

    def node(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add a node with one output and return that output's name."""
        name = f"{self._prefix}{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output or name], name=name, **attributes))
        return output or name

    def constant(self, values: Any, data_type: type[np.generic]) -> str:
        name = f"{self._prefix}constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.array(values, dtype=data_type), name))
        return name

    def as_float32(self, name: str, output: str | None = None) -> str:
        return self.node("Cast", name, output=output, to=TensorProto.FLOAT)

    def unsqueeze(self, name: str, axis: int) -> str:
        return self._along(axis, "Unsqueeze", name)

    def squeeze(self, name: str, axis: int, *, output: str) -> str:
        return self._along(axis, "Squeeze", name, output=output)

    def reduce(self, kind: str, name: str, axis: int) -> str:
        """The axis stays, with size 1."""
        return self._along(axis, kind, name, keepdims=1)

    def _along(self, axis: int, kind: str, name: str, *, output: str | None = None, **attributes: Any) -> str:
        if self._opset < _AXES_AS_INPUT[kind]:
            return self.node(kind, name, output=output, axes=[axis], **attributes)
        return self.node(kind, name, self.constant([axis], np.int64), output=output, **attributes)


@dataclass(frozen=True, slots=True)
class Wanted:
    """`hidden` is float32 [batch, tokens, size], `mask` 0/1 [batch, tokens] of any number type; `output` is the name of
    the float32 [batch, size] to make."""

    hidden: str
    mask: str
    size: int
    output: str


def mean(graph: Additions, wanted: Wanted) -> None:
    _weighted_mean(graph, wanted, graph.as_float32(wanted.mask))


def mean_sqrt_len(graph: Additions, wanted: Wanted) -> None:
    _weighted_mean(graph, wanted, graph.as_float32(wanted.mask), per="Sqrt")


def weighted_mean(graph: Additions, wanted: Wanted) -> None:
    """The first token counts once, the second twice, and so on."""
    weights = graph.as_float32(wanted.mask)
    places = graph.node("CumSum", weights, graph.constant(1, np.int64))
    _weighted_mean(graph, wanted, graph.node("Mul", places, weights))


def maximum(graph: Additions, wanted: Wanted) -> None:
    hidden = _without_padding(graph, wanted, filled_with=float(np.finfo(np.float32).min))
    graph.squeeze(graph.reduce("ReduceMax", hidden, 1), 1, output=wanted.output)


def cls(graph: Additions, wanted: Wanted) -> None:
    """The first token where the mask is 1, whichever side the padding is on."""
    _pick(graph, wanted, graph.as_float32(wanted.mask))


def last_token(graph: Additions, wanted: Wanted) -> None:
    """The last token where the mask is 1, whichever side the padding is on: where the count of tokens so far first
    reaches its largest value. Counts are exact in float32 up to 16,777,216 tokens."""
    axis = graph.constant(1, np.int64)
    _pick(graph, wanted, graph.node("CumSum", graph.as_float32(wanted.mask), axis))


Pool = Callable[[Additions, Wanted], None]

POOLINGS: Mapping[str, Pool] = {
    "mean": mean,
    "cls": cls,
    "last_token": last_token,
    "max": maximum,
    "mean_sqrt_len": mean_sqrt_len,
    "weighted_mean": weighted_mean,
}


def _weighted_mean(graph: Additions, wanted: Wanted, weights: str, *, per: str | None = None) -> None:
    """Token vectors times float32 `weights` [batch, tokens], by the sum of these, or by what `per` makes of it."""
    hidden, weights = _without_padding(graph, wanted, filled_with=0.0), graph.unsqueeze(weights, 1)
    sums = graph.node("Max", graph.reduce("ReduceSum", weights, 2), graph.constant(_FEWEST_TOKENS, np.float32))
    share = graph.node("Div", graph.node("MatMul", weights, hidden), graph.node(per, sums) if per else sums)
    graph.squeeze(share, 1, output=wanted.output)


def _without_padding(graph: Additions, wanted: Wanted, *, filled_with: float) -> str:
    """Padding may hold anything, NaN too, and a weight of zero would not take that out: 0 x NaN is NaN."""
    kept = graph.unsqueeze(graph.node("Cast", wanted.mask, to=TensorProto.BOOL), 2)
    return graph.node("Where", kept, wanted.hidden, graph.constant(filled_with, np.float32))


def _pick(graph: Additions, wanted: Wanted, scores: str) -> None:
    """The token vector at the first place of each row's largest score; `scores` is float32 [batch, tokens]."""
    place = graph.unsqueeze(graph.node("ArgMax", scores, axis=1, keepdims=1), 2)
    places = graph.node("Expand", place, graph.constant([1, 1, wanted.size], np.int64))
    graph.squeeze(graph.node("GatherElements", wanted.hidden, places, axis=1), 1, output=wanted.output)
