"""Whether a graph contains a linear stage: proved by nodes between two outputs, not by a size that fits by chance."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from gateway.artifacts.adding.graph_paths import maps_between
from tests.support.graphs import graph, value


def pipeline(size: int, *, dense: str | None, in_transformer: bool = True) -> onnx.ModelProto:
    """x [batch, tokens, 8], a square layer of the transformer, `tokens`, its mean, a Dense stage to `size`."""
    nodes = [
        helper.make_node(
            "MatMul" if in_transformer else "Identity", ["x", "layer"] if in_transformer else ["x"], ["h"]
        ),
        helper.make_node("Identity", ["h"], ["tokens"]),
        helper.make_node("ReduceMean", ["h"], ["mean"], axes=[1], keepdims=0),
    ]
    weights = {"layer": np.ones((8, 8), np.float32)} if in_transformer else {}
    if dense is not None:
        shape = (size, 8) if dense == "Gemm" else (8, size)
        weights["dense"] = np.ones(shape, np.float32)
        attributes = {"transB": 1} if dense == "Gemm" else {}
        nodes.append(helper.make_node(dense, ["mean", "dense"], ["mapped"], **attributes))
    nodes.append(helper.make_node("Tanh", ["mapped" if dense else "mean"], ["sentence"]))
    outputs = [value("tokens", ["b", "t", 8]), value("sentence", ["b", size if dense else 8])]
    return graph(nodes, [value("x", ["b", "t", 8])], outputs, weights)


@pytest.mark.parametrize("kind", ["MatMul", "Gemm"])
@pytest.mark.parametrize("size", [4, 8])
def test_a_stage_behind_the_tokens_is_found(kind: str, size: int) -> None:
    model = pipeline(size, dense=kind)
    assert maps_between(model, tokens="tokens", sentence="sentence", sizes=(8, size))
    assert not maps_between(model, tokens="tokens", sentence="sentence", sizes=(8, 5))


def test_a_layer_of_the_transformer_is_not_taken_for_it() -> None:
    assert not maps_between(pipeline(8, dense=None), tokens="tokens", sentence="sentence", sizes=(8, 8))


def test_without_a_token_output_only_different_sizes_prove_anything() -> None:
    assert maps_between(pipeline(4, dense="MatMul"), tokens=None, sentence="sentence", sizes=(8, 4))
    assert not maps_between(pipeline(8, dense="MatMul"), tokens=None, sentence="sentence", sizes=(8, 8))
    assert not maps_between(pipeline(8, dense=None), tokens=None, sentence="sentence", sizes=(8, 4))
