"""New names, and leaving out what nothing needs, through nested graphs too."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from gateway.artifacts.graphs.renaming import drop_unused, names_in, rename
from tests.support.graphs import value


def branching() -> onnx.ModelProto:
    """y = x + a where c, else x + b; `waste` = x * w is a second output. a and b are read from inside the branches."""
    branches = {
        name: helper.make_graph(
            [helper.make_node("Identity", [outer], [f"{name}_out"])], name, [], [value(f"{name}_out", [2])]
        )
        for name, outer in (("then", "a"), ("else", "b"))
    }
    nodes = [
        helper.make_node("Identity", ["b_weight"], ["b"]),
        helper.make_node("If", ["c"], ["chosen"], then_branch=branches["then"], else_branch=branches["else"]),
        helper.make_node("Add", ["x", "chosen"], ["y"]),
        helper.make_node("Mul", ["x", "w"], ["waste"]),
    ]
    weights = [
        numpy_helper.from_array(np.full(2, n, np.float32), name) for n, name in enumerate(("a", "b_weight", "w"), 1)
    ]
    inputs = [value("x", [2]), value("c", [], TensorProto.BOOL)]
    body = helper.make_graph(nodes, "g", inputs, [value("y", [2]), value("waste", [2])], weights)
    body.value_info.extend([value("chosen", [2]), value("waste", [2])])
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def run(model: onnx.ModelProto, choice: bool) -> list[float]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run([model.graph.output[0].name], {"x": np.ones(2, np.float32), "c": np.array(choice)})
    return list(y)


def test_what_only_a_dropped_output_needed_is_gone() -> None:
    model = branching()
    drop_unused(model.graph, ["y"])
    del model.graph.output[1:]
    assert [node.op_type for node in model.graph.node] == ["Identity", "If", "Add"]
    assert {tensor.name for tensor in model.graph.initializer} == {"a", "b_weight"}
    assert [note.name for note in model.graph.value_info] == ["chosen"]
    onnx.checker.check_model(model)
    assert (run(model, True), run(model, False)) == ([2.0, 2.0], [3.0, 3.0])


def test_names_are_changed_inside_branches_too() -> None:
    model = branching()
    rename(model.graph, {"a": "first", "y": "result", "w": "other"})
    names = names_in(model.graph)
    assert {"first", "result", "other"} <= names
    assert not {"a", "y", "w"} & names
    onnx.checker.check_model(model)
    assert (run(model, True), run(model, False)) == ([2.0, 2.0], [3.0, 3.0])
