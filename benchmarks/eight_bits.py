"""8-bit weights that leave a text's vector independent of its batch: each MatMul as ONNX Runtime's MatMulNBits.

Weights have a scale for each block of 32 along the summed axis; activations are rounded a row and block at a time
inside the kernel (accuracy level 4), so that no scale spans two rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

BITS, BLOCK, ZERO = 8, 32, 128


def write_eight_bits(graph: Path, target: Path) -> Path:
    """The graph with all weights in it, those of plain MatMul nodes in 8 bits."""
    model = onnx.load(graph, load_external_data=False)
    for tensor in model.graph.initializer:
        _bring_in(tensor, graph.parent)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    turned = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Transpose"}
    for node in model.graph.node:
        if node.op_type == "MatMul" and (name := turned.get(node.input[1], node.input[1])) in weights:
            weight = numpy_helper.to_array(weights[name])
            _quantize(model, node, weight.T if node.input[1] in turned else weight)
    needed = {name for node in model.graph.node for name in node.input} | {one.name for one in model.graph.output}
    nodes = [node for node in model.graph.node if needed.intersection(node.output)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in model.graph.node for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    onnx.save(model, target)
    return target


def _bring_in(tensor: onnx.TensorProto, folder: Path) -> None:
    """Own code because onnx refuses weights that have several names on disk, as a package manager's often have."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return
    place = {entry.key: entry.value for entry in tensor.external_data}
    with (folder / place["location"]).open("rb") as file:
        file.seek(int(place.get("offset", "0")))
        tensor.raw_data = file.read(int(place["length"]))
    tensor.data_location = onnx.TensorProto.DEFAULT
    del tensor.external_data[:]


def _quantize(model: onnx.ModelProto, node: onnx.NodeProto, weight: npt.NDArray[np.float32]) -> None:
    depth, width = weight.shape
    if depth % BLOCK:
        return
    blocks = weight.T.reshape(width, depth // BLOCK, BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=2), 1e-12) / (ZERO - 1)
    packed = np.clip(np.rint(blocks / scales[:, :, None]) + ZERO, 0, 255).astype(np.uint8)
    names = [f"{node.input[1]}_8bit", f"{node.input[1]}_scales"]
    for name, array in zip(names, (packed, scales.astype(np.float32)), strict=True):
        if all(tensor.name != name for tensor in model.graph.initializer):
            model.graph.initializer.append(numpy_helper.from_array(array, name))
    attributes: dict[str, Any] = {"K": depth, "N": width, "bits": BITS, "block_size": BLOCK, "accuracy_level": 4}
    node.CopyFrom(
        helper.make_node(
            "MatMulNBits", [node.input[0], *names], list(node.output), node.name, domain="com.microsoft", **attributes
        )
    )
