"""The serving graph against the published one, on every file of every twin, and on graphs made to be difficult."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from gateway.artifacts.graphs.external_data import data_faults
from gateway.artifacts.graphs.recipe import recipe
from gateway.artifacts.graphs.serving import build_serving
from gateway.artifacts.variants import graph_of
from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.cards.triton_spec import GraphOutput, OutputRole, TensorSpec
from gateway.errors import ArtifactError, ConfigurationError
from gateway.vectors.pooling import POOLINGS
from tests.support.graphs import value
from tests.support.twin_repository import SHIPPED, twin_repository, twins_of

# Card name and variant of every published graph that a twin has.
CASES = [
    (card.name, variant)
    for card in Registry.from_repository(SHIPPED).cards
    if card.graph is not None and card.graph.weights is None
    for variant in card.variants
]
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Card]:
    """The shipped cards over their twins, with every published file in place."""
    folder = twin_repository(tmp_path_factory.mktemp("repository"))
    registry = Registry.from_repository(folder)
    for model in registry.models:
        for card, twin in zip(model.cards, twins_of(model.name), strict=True):
            for file in card.files:
                if file.hub_path is not None and file.hub_path in twin.files:
                    card.path_of(file.path).parent.mkdir(exist_ok=True)
                    card.path_of(file.path).write_bytes(twin.files[file.hub_path])
    return {card.name: card for card in registry.cards}


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(path: Path, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    opened = session(path)
    names = [output.name for output in opened.get_outputs()]
    return dict(zip(names, opened.run(names, dict(feeds)), strict=True))


def batch(card: Card) -> dict[str, np.ndarray]:
    """Three rows: one padded on the right, one on the left, one not at all."""
    ids = RANDOM.integers(5, 60, size=(3, 9))
    mask = np.ones_like(ids)
    mask[0, 4:], mask[1, :6] = 0, 0
    feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids), "task_id": np.array(2)}
    return {item.tensor.name: feeds[item.tensor.name] for item in card.triton.inputs}


def published(card: Card, variant: str | None = None) -> Path:
    graph = graph_of(card, variant or card.variants[0])
    assert graph is not None
    return card.path_of(graph.path)


def serving(card: Card, variant: str | None = None) -> Path:
    path = published(card, variant)
    made = path.with_name("serving.onnx")
    made.write_bytes(build_serving(card, path))
    return made


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_the_serving_graph_gives_what_the_published_one_gives(
    cards: Mapping[str, Card], name: str, variant: str
) -> None:
    card = cards[name]
    path = published(card, variant)
    before = path.read_bytes()
    feeds = batch(card)
    theirs, ours = run(path, feeds), run(serving(card, variant), feeds)
    assert {output.tensor.name for output in card.triton.outputs} == ours.keys(), "decoys are left out"
    assert {values.dtype for values in ours.values()} == {np.dtype(np.float32)}
    assert path.read_bytes() == before
    # Where the published graph rounds its output to float16, the serving graph need not.
    tolerance = 3e-3 if any(values.dtype == np.float16 for values in theirs.values()) else 1e-6
    assert card.graph is not None
    if card.reranking is not None:
        assert np.abs(ours["logit"] - theirs[str(card.graph.config["logit"])]).max() <= tolerance
        return
    tokens = theirs[str(card.graph.config["token_embeddings"])].astype(np.float32)
    assert np.abs(ours["token_embeddings"] - tokens).max() <= tolerance
    pooled = POOLINGS[card.embedding.pooling](tokens, feeds["attention_mask"])
    assert np.abs(ours["pooled_embedding"] - pooled).max() <= tolerance
    # As long as it is: nobody has brought it to unit length.
    assert np.abs(np.linalg.norm(ours["pooled_embedding"], axis=1) - 1.0).min() > 1e-2


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_it_is_small_points_at_the_published_bytes_and_is_the_same_every_time(
    cards: Mapping[str, Card], name: str, variant: str
) -> None:
    card = cards[name]
    path = published(card, variant)
    made = build_serving(card, path)
    assert made == build_serving(card, path)
    model = onnx.ModelProto.FromString(made)
    assert list(data_faults(path.parent, model)) == []
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    assert weights < 8192, "weights are pointed at, not copied"
    assert session(serving(card, variant))


def test_the_poolers_nodes_and_weights_left_with_its_output(cards: Mapping[str, Card]) -> None:
    card = cards["jina-embeddings-v3"]
    theirs = onnx.load(published(card), load_external_data=False)
    ours = onnx.ModelProto.FromString(build_serving(card, published(card)))
    assert "13049" in {output.name for output in theirs.graph.output}
    left = {tensor.name for tensor in theirs.graph.initializer} - {tensor.name for tensor in ours.graph.initializer}
    assert any("pooler" in name for name in left)
    assert "Tanh" not in {node.op_type for node in ours.graph.node}
    assert [one.name for one in ours.graph.input] == [one.name for one in theirs.graph.input]


def test_a_rank_0_input_stays_one(cards: Mapping[str, Card]) -> None:
    card = cards["jina-embeddings-v3"]
    made = onnx.ModelProto.FromString(build_serving(card, published(card)))
    (task,) = [one for one in made.graph.input if one.name == "task_id"]
    assert task.type.tensor_type.HasField("shape")
    assert len(task.type.tensor_type.shape.dim) == 0


def small(*outputs: onnx.ValueInfoProto, opset: int = 17, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """A graph whose names are those that we give: its `token_embeddings` are float16, and `pooled_embedding` is what
    it calls something else inside."""
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["pooled_embedding"], to=kind),
        helper.make_node("Unsqueeze", ["pooled_embedding", "serving_axis"], ["serving_wide"]),
        helper.make_node("Expand", ["serving_wide", "shape"], ["token_embeddings"]),
    ]
    weights = [
        onnx.numpy_helper.from_array(np.array([2]), "serving_axis"),
        onnx.numpy_helper.from_array(np.array([1, 1, 4]), "shape"),
    ]
    inputs = [value(name, ["b", "s"], TensorProto.INT64) for name in ("input_ids", "attention_mask")]
    given = list(outputs) or [value("token_embeddings", ["b", "s", 4], kind)]
    body = helper.make_graph(nodes, "g", inputs, given, weights)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.fixture
def tiny(cards: Mapping[str, Card], tmp_path: Path) -> Card:
    """A card for `small()`."""
    card = cards["jina-embeddings-v5-text-nano-retrieval"]
    assert card.graph is not None
    outputs = (
        GraphOutput(TensorSpec("pooled_embedding", "TYPE_FP32", (-1, 4)), OutputRole.SENTENCE_EMBEDDING),
        GraphOutput(TensorSpec("token_embeddings", "TYPE_FP32", (-1, -1, 4)), OutputRole.TOKEN_EMBEDDINGS),
    )
    return replace(
        card,
        folder=tmp_path,
        vectors=replace(card.embedding, dimensions=4, pooling="mean"),
        triton=replace(card.triton, outputs=outputs),
        graph=replace(card.graph, config={"token_embeddings": "token_embeddings"}),
    )


def written(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_names_that_are_taken_are_freed(tiny: Card, tmp_path: Path, kind: int) -> None:
    path = written(small(kind=kind), tmp_path)
    made = tmp_path / "serving.onnx"
    made.write_bytes(build_serving(tiny, path))
    feeds = {"input_ids": np.array([[1, 3, 9]]), "attention_mask": np.array([[1, 1, 0]])}
    ours = run(made, feeds)
    assert np.array_equal(ours["token_embeddings"], np.repeat([[[1.0], [3.0], [9.0]]], 4, axis=2))
    assert np.array_equal(ours["pooled_embedding"], [[2.0] * 4])


def test_a_graph_that_pools_itself_is_taken_at_its_word(tiny: Card, tmp_path: Path) -> None:
    model = small(value("token_embeddings", ["b", "s", 4]), value("sentence_embedding", ["b", 4]))
    model.graph.node.append(
        helper.make_node("ReduceMax", ["token_embeddings"], ["sentence_embedding"], axes=[1], keepdims=0)
    )
    assert tiny.graph is not None
    card = replace(
        tiny,
        triton=replace(tiny.triton, outputs=tiny.triton.outputs[:1]),
        graph=replace(tiny.graph, config={"sentence_embedding": "sentence_embedding"}),
    )
    made = tmp_path / "serving.onnx"
    made.write_bytes(build_serving(card, written(model, tmp_path)))
    ours = run(made, {"input_ids": np.array([[1, 3]]), "attention_mask": np.array([[1, 1]])})
    assert ours.keys() == {"pooled_embedding"}
    assert np.array_equal(ours["pooled_embedding"], [[3.0] * 4])


def test_only_the_pooled_output_may_be_asked_for(tiny: Card, tmp_path: Path) -> None:
    card = replace(tiny, triton=replace(tiny.triton, outputs=tiny.triton.outputs[:1]))
    made = tmp_path / "serving.onnx"
    made.write_bytes(build_serving(card, written(small(kind=TensorProto.FLOAT16), tmp_path)))
    ours = run(made, {"input_ids": np.array([[1, 3]]), "attention_mask": np.array([[1, 1]])})
    assert np.array_equal(ours["pooled_embedding"], [[2.0] * 4])


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"token_embeddings": "last_hidden_state"}, "it has no output last_hidden_state; it has token_embeddings"),
        ({"tokens": "token_embeddings"}, r"graph\.config\.tokens is not known"),
        ({"token_embeddings": 3}, r"graph\.config\.token_embeddings is not known"),
        ({"sentence_embedding": "token_embeddings"}, "has the shape .* sentence_embedding has 2 dimensions"),
        ({}, "does not say which output"),
    ],
)
def test_a_config_that_does_not_fit_is_told(
    tiny: Card, tmp_path: Path, config: Mapping[str, object], says: str
) -> None:
    assert tiny.graph is not None
    with pytest.raises(ConfigurationError, match=says):
        build_serving(replace(tiny, graph=replace(tiny.graph, config=config)), written(small(), tmp_path))


def test_vectors_of_another_size_are_told(tiny: Card, tmp_path: Path) -> None:
    card = replace(tiny, vectors=replace(tiny.embedding, dimensions=8))
    with pytest.raises(ConfigurationError, match="the last of size 8"):
        build_serving(card, written(small(), tmp_path))


def test_an_output_that_is_no_vector_is_told(tiny: Card, tmp_path: Path) -> None:
    model = small(value("token_embeddings", ["b", "s", 4], TensorProto.INT64), kind=TensorProto.INT64)
    with pytest.raises(ConfigurationError, match="of type INT64"):
        build_serving(tiny, written(model, tmp_path))


def test_a_graph_without_a_mask_cannot_be_pooled(tiny: Card, tmp_path: Path) -> None:
    card = replace(tiny, triton=replace(tiny.triton, inputs=tiny.triton.inputs[:1]))
    with pytest.raises(ConfigurationError, match="without an attention mask"):
        build_serving(card, written(small(), tmp_path))


def test_a_pooling_that_no_graph_can_be_given_is_told(tiny: Card, tmp_path: Path) -> None:
    card = replace(tiny, vectors=replace(tiny.embedding, pooling="median"))
    with pytest.raises(ConfigurationError, match="pooled output by median; that is done for mean") as caught:
        build_serving(card, written(small(), tmp_path))
    assert "Leave the output of role sentence_embedding out" in (caught.value.remedy or "")


def test_an_opset_too_old_is_told(tiny: Card, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="opset 10"):
        build_serving(tiny, written(small(opset=10), tmp_path))


def test_weights_that_cannot_be_pointed_at_are_refused_when_they_are_too_many(
    tiny: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.artifacts.graphs.serving.MAX_GRAPH_BYTES", 1000)
    model = small()
    model.graph.node.append(helper.make_node("Add", ["token_embeddings", "w"], ["more"]))
    model.graph.initializer.append(TensorProto(name="w", data_type=1, dims=[500], float_data=[1.0] * 500))
    model.graph.output.append(value("more", ["b", "s", 4]))
    assert tiny.graph is not None
    card = replace(tiny, graph=replace(tiny.graph, config={"token_embeddings": "more"}))
    with pytest.raises(ArtifactError, match="in a form that cannot be pointed at"):
        build_serving(card, written(model, tmp_path))


def test_the_recipe_changes_with_what_the_graph_is_made_by(tiny: Card) -> None:
    assert tiny.graph is not None
    others = [
        replace(tiny, vectors=replace(tiny.embedding, pooling="cls")),
        replace(tiny, graph=replace(tiny.graph, config={"token_embeddings": "text_embeds"})),
        replace(tiny, triton=replace(tiny.triton, outputs=tiny.triton.outputs[:1])),
    ]
    assert len({recipe(card) for card in (tiny, *others)}) == 4
    assert recipe(replace(tiny, summary="another")) == recipe(tiny)
