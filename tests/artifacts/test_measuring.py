"""What running the files tells: whether rows of a batch mix, what the canary gives, whether two graphs agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gateway.artifacts.graphs.published_graph import read_published
from gateway.artifacts.inference import GraphRun, padded
from gateway.artifacts.measuring import MIXING_OPERATORS, is_reduced, measure, mixes_rows
from gateway.artifacts.onnx_inspection import graph_path
from gateway.cards.schema import Card
from gateway.errors import ArtifactError
from tests.support.graphs import value
from tests.support.twin_world import TwinWorld, installed, twin_world

NANO = "jina-embeddings-v5-text-nano-retrieval"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwinWorld]:
    with twin_world(tmp_path, "jina-embeddings-v5-text-nano", "jina-embeddings-v3") as world:
        yield world


@pytest.fixture
def card(world: TwinWorld) -> Card:
    """Installed, float32."""
    card = world.card(NANO)
    world.pull(card)
    return card


def changed(card: Card, *nodes: onnx.NodeProto, weights: dict[str, np.ndarray] | None = None) -> Path:
    """The serving graph with nodes between `raw`, its pooled output, and `pooled_embedding`."""
    path = graph_path(card)
    model = onnx.load(path, load_external_data=False)
    for node in model.graph.node:
        for place, name in enumerate(node.output):
            if name == "pooled_embedding":
                node.output[place] = "raw"
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in (weights or {}).items())
    made = path.with_name("changed.onnx")
    made.write_bytes(model.SerializeToString())
    return made


def test_the_twins_vectors_are_their_own_whoever_shares_the_batch(card: Card) -> None:
    measured = measure(card, graph_path(card), published=card.path_of("1/model.onnx"))
    assert measured.batch_invariant
    assert measured.spread <= 1e-5
    assert measured.canary == installed(card).canary
    assert (len(measured.canary), measured.size) == (16, 48)


def test_rows_that_mix_by_an_operator_are_known_before_they_are_seen(world: TwinWorld) -> None:
    card = world.card(NANO)
    world.pull(card, variant="quantized")
    model = read_published(card.path_of("1/model_quantized.onnx"))
    assert {node.op_type for node in model.graph.node} & MIXING_OPERATORS
    assert mixes_rows(model)
    assert not installed(card).batch_invariant
    measured = measure(card, graph_path(card), published=card.path_of("1/model_quantized.onnx"))
    assert measured.spread > 1e-3, "the twin shows what the operators announce"


def test_rows_that_mix_without_such_an_operator_are_measured(card: Card) -> None:
    """The batch's mean is taken from every row."""
    nodes = [
        helper.make_node("ReduceMean", ["raw"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["raw", "mean"], ["off"]),
        helper.make_node("Add", ["off", "one"], ["pooled_embedding"]),
    ]
    path = changed(card, *nodes, weights={"one": np.ones(1, np.float32)})
    assert not mixes_rows(read_published(path))
    measured = measure(card, path, published=None)
    assert not measured.batch_invariant
    assert measured.spread > 1e-3


def test_an_operator_inside_a_branch_or_a_function_counts() -> None:
    quantize = helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])
    plain = helper.make_node("Identity", ["x"], ["s"])
    branches = {
        name: helper.make_graph([node], name, [], [value("s", [])])
        for name, node in (("then_branch", quantize), ("else_branch", plain))
    }
    node = helper.make_node("If", ["c"], ["y"], **branches)
    inputs = [value("x", [2]), value("c", [], TensorProto.BOOL)]
    opsets = [helper.make_opsetid("", 17)]
    nested = helper.make_model(helper.make_graph([node], "g", inputs, [value("y", [])]), opset_imports=opsets)
    assert mixes_rows(nested)
    body = helper.make_graph([helper.make_node("F", ["x"], ["y"], domain="own")], "g", inputs[:1], [value("y", [])])
    function = helper.make_function("own", "F", ["x"], ["s"], [quantize], opsets)
    called = helper.make_model(body, opset_imports=[*opsets, helper.make_opsetid("own", 1)], functions=[function])
    assert mixes_rows(called)
    assert is_reduced(called)


def test_half_precision_is_seen(world: TwinWorld) -> None:
    files = world.twin(world.card(NANO)).files
    for name, reduced in (("model", False), ("model_fp16", True), ("model_quantized", True)):
        assert is_reduced(onnx.ModelProto.FromString(files[f"onnx/{name}.onnx"])) == reduced


@pytest.mark.parametrize("number", [0.0, np.nan, np.inf])
def test_vectors_without_a_direction_are_refused(card: Card, number: float) -> None:
    path = changed(
        card,
        helper.make_node("Mul", ["raw", "number"], ["pooled_embedding"]),
        weights={"number": np.array([number], np.float32)},
    )
    with pytest.raises(ArtifactError, match="zeros, NaN or infinite"):
        measure(card, path, published=None)


def test_a_graph_that_differs_from_the_published_one_is_refused(card: Card) -> None:
    """By less than anybody would see: the largest value of a vector is about 1."""
    shift = np.full(card.embedding.dimensions, 1e-3, np.float32)
    path = changed(card, helper.make_node("Add", ["raw", "shift"], ["pooled_embedding"]), weights={"shift": shift})
    with pytest.raises(ArtifactError, match=r"its pooled_embedding is off by .*; allowed is 1e-05"):
        measure(card, path, published=card.path_of("1/model.onnx"))


def test_padding_goes_to_the_side_asked_for() -> None:
    batch = padded([np.array([7, 8]), np.array([9])], pad_id=1, left=True)
    assert (batch.ids.tolist(), batch.mask.tolist()) == ([[7, 8], [1, 9]], [[1, 1], [0, 1]])
    batch = padded([np.array([7, 8]), np.array([9])], pad_id=1)
    assert (batch.ids.tolist(), batch.mask.tolist()) == ([[7, 8], [9, 1]], [[1, 1], [1, 0]])


def test_a_rank_0_input_is_fed_with_rank_0(world: TwinWorld) -> None:
    """ONNX Runtime takes shape [1] as well, and the twin then gives something else without a word."""
    card = world.card("jina-embeddings-v3")
    world.pull(card)
    twin = world.twin(card)
    ids = np.array([5, 9, 14, 6])
    given = GraphRun(card, graph_path(card)).results(padded([ids], pad_id=1))[0]
    assert np.abs(given - twin.vector(ids, task=0)).max() < 1e-5


def test_a_graph_that_cannot_run_is_told(card: Card) -> None:
    path = graph_path(card).with_name("broken.onnx")
    model = onnx.load(graph_path(card), load_external_data=False)
    model.graph.node[0].op_type = "NoSuchOperator"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ArtifactError, match=r"ONNX Runtime cannot run broken\.onnx"):
        GraphRun(card, path)
    pads = replace(card, tokenizer=replace(card.tokenizer, pad_id=10**6))
    with pytest.raises(ArtifactError, match=r"ONNX Runtime cannot run serving\.onnx"):
        measure(pads, graph_path(card), published=None)
