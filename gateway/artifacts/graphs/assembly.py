"""Putting an ONNX graph together node by node, its weights left where they are.

The bytes that come out depend on the calls alone: names are counted, constants are numbered, nothing is dated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from gateway.artifacts.safetensors_header import StoredTensor
from gateway.errors import ArtifactError

PRODUCER = "triton-embeddings-gateway"
# Opset 17 brings LayerNormalization; IR version 8 goes with it. Every ONNX Runtime since 1.12 reads both.
OPSET = 17
IR_VERSION = 8
CONTRIB_DOMAIN = "com.microsoft"


class GraphAssembly:
    """Collects nodes and initialisers; tensor names in and out of every method are the graph's own."""

    def __init__(self, tensors: Mapping[str, StoredTensor], *, weights_location: str) -> None:
        self._tensors = tensors
        self._location = weights_location
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, TensorProto] = {}

    def node(self, op_type: str, *inputs: str, output: str | None = None, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output and return that output's name."""
        name = f"{op_type}_{len(self._nodes)}"
        output = output or name
        self._nodes.append(helper.make_node(op_type, inputs, [output], name=name, domain=domain, **attributes))
        return output

    def constant(self, value: Any, data_type: type[np.generic]) -> str:
        """A small constant kept inside the graph; equal ones are shared."""
        array = np.array(value, dtype=data_type)
        name = f"constant_{array.dtype.name}_{'_'.join(map(str, array.ravel().tolist()))}_rank{array.ndim}"
        self._initializers.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def weight(self, name: str, shape: Sequence[int]) -> str:
        """A float32 weight by its name in the weights file; its bytes stay there.

        Raises `ArtifactError` when the file lacks it or holds another shape or type.
        """
        tensor = self._tensors.get(name)
        if tensor is None:
            raise ArtifactError(f"The weights file {self._location} has no tensor {name}.")
        expected = tuple(shape)
        if tensor.data_type != "F32" or tensor.shape != expected:
            raise ArtifactError(
                f"Tensor {name} in {self._location} is {tensor.data_type} {list(tensor.shape)}; "
                f"the card's graph section asks for F32 {list(expected)}."
            )
        self._initializers.setdefault(name, _external(tensor, self._location))
        return name

    def model(
        self, name: str, *, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        graph = helper.make_graph(self._nodes, name, inputs, outputs, list(self._initializers.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB_DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name=PRODUCER)


def _external(tensor: StoredTensor, location: str) -> TensorProto:
    proto = TensorProto(name=tensor.name, data_type=TensorProto.FLOAT, dims=tensor.shape)
    proto.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", tensor.offset), ("length", tensor.length)):
        proto.external_data.add(key=key, value=str(value))
    return proto
