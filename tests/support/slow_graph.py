"""An ONNX graph whose time is chosen by the caller, for tests of what is computed while something else is."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.support import graphs

SIZE = 192


def rounds() -> onnx.ModelProto:
    """`y` is `rounds` as it came, after so many products of two matrices, 0.1 to 0.3 ms each on one core."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["next"]),
            helper.make_node("Identity", ["going"], ["go_on"]),
        ],
        "body",
        [
            graphs.value("turn", [], TensorProto.INT64),
            graphs.value("going", [], TensorProto.BOOL),
            graphs.value("state", [SIZE, SIZE]),
        ],
        [graphs.value("go_on", [], TensorProto.BOOL), graphs.value("next", [SIZE, SIZE])],
    )
    nodes = [
        helper.make_node("Squeeze", ["rounds"], ["count"]),
        helper.make_node("Loop", ["count", "", "w"], ["end"], body=body),
        helper.make_node("ReduceSum", ["end"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Mul", ["whole", "zero"], ["nothing"]),
        helper.make_node("Add", ["rounds", "nothing"], ["y"]),
    ]
    weights = {"w": np.eye(SIZE, dtype=np.float32), "zero": np.array([0], np.int64)}
    inputs, outputs = [graphs.value("rounds", [1], TensorProto.INT64)], [graphs.value("y", [1], TensorProto.INT64)]
    return graphs.graph(nodes, inputs, outputs, weights)
