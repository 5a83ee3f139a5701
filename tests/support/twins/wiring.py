"""Puts ONNX graphs together node by node, and cuts a finished one into the files that exporters ship."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
# What the usual export keeps in the graph's own file however the rest is stored.
SMALLEST_EXTERNAL_BYTES = 1024
KINDS = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float16): TensorProto.FLOAT16}

Value = onnx.ValueInfoProto


def value(name: str, dims: Sequence[int | str], kind: int = TensorProto.FLOAT) -> Value:
    return helper.make_tensor_value_info(name, kind, dims)


def ids_value(name: str) -> Value:
    return value(name, ["batch_size", "sequence_length"], TensorProto.INT64)


class Wiring:
    """A graph in the making. Each method that adds something returns the name of what it added.

    `dtype` is what weights are stored and most nodes compute in. `int8` makes `linear` layers quantize as they run.
    """

    def __init__(self, dtype: type[np.floating] = np.float32, *, int8: bool = False) -> None:
        self.dtype = np.dtype(dtype)
        self.int8 = int8
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, np.ndarray] = {}

    def op(self, kind: str, *inputs: str, to: str | None = None, **attributes: object) -> str:
        name = to or f"{kind}_{len(self._nodes)}_output"
        self._add(kind, inputs, [name], attributes)
        return name

    def ops(self, kind: str, *inputs: str, outputs: int, **attributes: object) -> list[str]:
        names = [f"{kind}_{len(self._nodes)}_output_{place}" for place in range(outputs)]
        self._add(kind, inputs, names, attributes)
        return names

    def _add(self, kind: str, inputs: Sequence[str], outputs: list[str], attributes: Mapping[str, object]) -> None:
        name = f"/{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), outputs, name=name, **attributes))

    def weight(self, name: str, array: np.ndarray) -> str:
        """A float array in the graph's dtype."""
        return self.constant(name, array.astype(self.dtype))

    def constant(self, name: str, array: np.ndarray) -> str:
        """An array exactly as given; the same name again has to mean the same array."""
        known = self._constants.setdefault(name, np.array(array, order="C"))
        if known.dtype != array.dtype or not np.array_equal(known, array):
            raise ValueError(f"Two different constants are called {name}.")
        return name

    def number(self, number: float, dtype: np.dtype[np.floating] | None = None) -> str:
        dtype = dtype or self.dtype
        return self.constant(f"number_{number!r}_{dtype}", np.array(number, dtype))

    def ints(self, *numbers: int) -> str:
        """int64 [len(numbers)]."""
        return self.constant(f"ints_{'_'.join(map(str, numbers))}", np.array(numbers, np.int64))

    def integer(self, number: int) -> str:
        """int64 of rank 0."""
        return self.constant(f"integer_{number}", np.array(number, np.int64))

    def cast(self, name: str, dtype: np.dtype[np.floating] | type[np.floating], to: str | None = None) -> str:
        output = to or f"Cast_{len(self._nodes)}_output"
        self._add("Cast", [name], [output], {"to": KINDS[np.dtype(dtype)]})
        return output

    def model(self, inputs: Sequence[Value], outputs: Sequence[Value]) -> onnx.ModelProto:
        constants = [numpy_helper.from_array(array, name) for name, array in self._constants.items()]
        body = helper.make_graph(self._nodes, "main_graph", list(inputs), list(outputs), constants)
        model = helper.make_model(
            body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="pytorch"
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def single_file(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString(deterministic=True)


def with_external_data(model: onnx.ModelProto, location: str) -> tuple[bytes, bytes]:
    """The graph's bytes and those of its data file, which the graph names as `location`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    data = b""
    for tensor in copy.graph.initializer:
        raw = tensor.raw_data
        if len(raw) < SMALLEST_EXTERNAL_BYTES:
            continue
        for key, text in (("location", location), ("offset", str(len(data))), ("length", str(len(raw)))):
            tensor.external_data.add(key=key, value=text)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        data += raw
    return copy.SerializeToString(deterministic=True), data


def exported(model: onnx.ModelProto, path: str) -> dict[str, bytes]:
    """The two files of an export with external data: `path` and, beside it, `path` + "_data"."""
    graph, data = with_external_data(model, f"{path.rpartition('/')[2]}_data")
    return {path: graph, f"{path}_data": data}
