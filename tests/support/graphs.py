"""Small ONNX graphs and model folders for tests that run a real Triton on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = [helper.make_opsetid("", 17)]
TRITON_TYPES = {TensorProto.FLOAT: "TYPE_FP32", TensorProto.INT64: "TYPE_INT64", TensorProto.STRING: "TYPE_STRING"}

Value = onnx.ValueInfoProto


def value(name: str, dims: Sequence[int | str], kind: int = TensorProto.FLOAT) -> Value:
    return helper.make_tensor_value_info(name, kind, dims)


def graph(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    weights: Mapping[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    initializers = [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()]
    body = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), initializers)
    model = helper.make_model(body, opset_imports=OPSET, ir_version=8)
    onnx.checker.check_model(model)
    return model


def dense() -> onnx.ModelProto:
    """y = tanh(x W + b): enough arithmetic for rounding to differ if anything on the way changed a value."""
    random = np.random.default_rng(7)
    weights = {"w": random.normal(size=(64, 48)).astype(np.float32), "b": random.normal(size=48).astype(np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["s"]),
        helper.make_node("Tanh", ["s"], ["y"]),
    ]
    return graph(nodes, [value("x", ["rows", 64])], [value("y", ["rows", 48])], weights)


def lookup() -> onnx.ModelProto:
    """Rows of a table by index, and the indices doubled. An index beyond the table fails, but only for `rows`."""
    table = np.arange(40, dtype=np.float32).reshape(10, 4)
    nodes = [
        helper.make_node("Gather", ["table", "index"], ["rows"]),
        helper.make_node("Add", ["index", "index"], ["doubled"]),
    ]
    outputs = [value("rows", ["n", "m", 4]), value("doubled", ["n", "m"], TensorProto.INT64)]
    return graph(nodes, [value("index", ["n", "m"], TensorProto.INT64)], outputs, {"table": table})


def scalar_choice() -> onnx.ModelProto:
    """x + the running sum of table[choice], with `choice` of rank 0; and a scalar output.

    Given shape [1] instead, table[choice] has two dimensions, its first holds one row, and ONNX Runtime sums nothing up
    without a word about it.
    """
    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    nodes = [
        helper.make_node("Gather", ["table", "choice"], ["row"]),
        helper.make_node("CumSum", ["row", "first_axis"], ["sums"]),
        helper.make_node("Add", ["x", "sums"], ["y"]),
        helper.make_node("Add", ["choice", "choice"], ["doubled"]),
    ]
    inputs = [value("x", ["n", 4]), value("choice", [], TensorProto.INT64)]
    outputs = [value("y", ["n", 4]), value("doubled", [], TensorProto.INT64)]
    return graph(nodes, inputs, outputs, {"table": table, "first_axis": np.array(0, np.int64)})


def twice() -> onnx.ModelProto:
    """Text in, the same text twice out."""
    node = helper.make_node("Concat", ["text", "text"], ["both"], axis=0)
    return graph([node], [value("text", ["n"], TensorProto.STRING)], [value("both", ["m"], TensorProto.STRING)])


def write_model(
    repository: Path, name: str, model: onnx.ModelProto, *, config: str | None = None, file: str = "model.onnx"
) -> Path:
    """A model folder as Triton wants it. `config` None: stated in full from the graph, one instance."""
    target = repository / name / "1" / file
    target.parent.mkdir(parents=True)
    onnx.save(model, target)
    text = full_config(model) if config is None else config
    (repository / name / "config.pbtxt").write_text(text)
    return target


def full_config(model: onnx.ModelProto, *, count: int = 1, extra: str = "") -> str:
    """What a card's config looks like: no batching by Triton, every tensor stated, `count` instances."""
    inputs = ", ".join(tensor_entry(tensor) for tensor in model.graph.input)
    outputs = ", ".join(tensor_entry(tensor) for tensor in model.graph.output)
    return (
        f'backend: "onnxruntime"\nmax_batch_size: 0\ninput [ {inputs} ]\noutput [ {outputs} ]\n'
        f"instance_group [ {{ count: {count} kind: KIND_CPU }} ]\n{extra}\n"
    )


def tensor_entry(tensor: Value) -> str:
    kind = tensor.type.tensor_type
    dims = [dim.dim_value or -1 for dim in kind.shape.dim] or [1]
    return f'{{ name: "{tensor.name}" data_type: {TRITON_TYPES[kind.elem_type]} dims: {dims} }}'


def parameters(**values: str) -> str:
    return "\n".join(
        f'parameters {{ key: "{name}" value: {{ string_value: "{text}" }} }}' for name, text in values.items()
    )
