"""ONNX graphs that have a signature and compute next to nothing, for tests of who reads signatures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.support.graphs import graph, value

HIDDEN = 8
IDS = ("input_ids", "attention_mask")
Shape = Sequence[int | str]
TOKENS: Shape = ("batch", "sequence", HIDDEN)
SENTENCE: Shape = ("batch", HIDDEN)


def with_signature(
    inputs: Mapping[str, Shape] | Sequence[str] = IDS,
    outputs: Mapping[str, Shape] | None = None,
    *,
    kinds: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A graph with these inputs and outputs by name. `kinds` are ONNX's element types where they are not int64 for
    inputs and float for outputs. Every output is an embedding of the ids, summed where its rank is 2."""
    shapes = dict(inputs) if isinstance(inputs, Mapping) else dict.fromkeys(inputs, ("batch", "sequence"))
    outputs = outputs or {"last_hidden_state": TOKENS}
    kinds = kinds or {}
    nodes = [helper.make_node("Gather", ["table", "ids"], ["hidden"])]
    nodes.append(helper.make_node("Cast", [next(iter(shapes))], ["ids"], to=TensorProto.INT64))
    nodes.reverse()
    for name, shape in outputs.items():
        made = f"{name}_made"
        axes = {"axes": [1], "keepdims": 0}
        nodes.append(
            helper.make_node("ReduceMax", ["hidden"], [made], **axes)
            if len(shape) == 2
            else helper.make_node("Identity", ["hidden"], [made])
        )
        nodes.append(helper.make_node("Cast", [made], [name], to=kinds.get(name, TensorProto.FLOAT)))
    return graph(
        nodes,
        [value(name, shape, kinds.get(name, TensorProto.INT64)) for name, shape in shapes.items()],
        [value(name, shape, kinds.get(name, TensorProto.FLOAT)) for name, shape in outputs.items()],
        {"table": np.ones((4, HIDDEN), np.float32)},
    )
