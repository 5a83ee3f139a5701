"""Variants: each of every twin, one at a time, those that a card does not list, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gateway.artifacts.completeness import is_complete, missing_files
from gateway.artifacts.inference import GraphRun, padded
from gateway.artifacts.measuring import load_tokenizer
from gateway.artifacts.onnx_inspection import graph_path
from gateway.artifacts.progress import SilentProgress
from gateway.artifacts.pulling import is_settled, pull
from gateway.artifacts.variants import chosen_variant, graph_of, variants_among
from gateway.artifacts.verification import verify
from gateway.cards.registry import Registry
from gateway.cards.rendering import stale_files
from gateway.cards.schema import Card
from gateway.errors import ArtifactError, ConfigurationError
from gateway.text.canary_row import canary_row
from tests.support.twin_repository import SHIPPED
from tests.support.twin_world import TwinWorld, files_of, installed, publish_variant, twin_world
from tests.support.twins import reranker_v2

CARDS = [card for card in Registry.from_repository(SHIPPED).cards if card.variants]
CASES = [(card.name, variant) for card in CARDS for variant in card.variants]
NANO = "jina-embeddings-v5-text-nano-retrieval"
RERANKER = "jina-reranker-v2-base-multilingual"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwinWorld]:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with twin_world(tmp_path) as world:
        yield world


def vector(card: Card) -> np.ndarray:
    """What the installed graph gives for the canary alone: its vector, or its score."""
    row = canary_row(card, load_tokenizer(card)).ids
    return GraphRun(card, graph_path(card)).results(padded([row], pad_id=card.tokenizer.pad_id))[0]


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_every_variant_of_every_twin_is_installed_alone_and_proved(world: TwinWorld, name: str, variant: str) -> None:
    card = world.card(name)
    assert not is_complete(card)
    result = world.pull(card, variant=variant)
    assert result.variant == installed(card).variant == variant
    assert is_complete(card)
    assert is_settled(card, variant)
    assert verify(card).faults == ()
    assert files_of(card) == set(installed(card).files)
    graph = graph_of(card, variant)
    assert graph is not None
    others = {file.path for file in card.files if file.variant not in (None, variant)}
    assert graph.path in files_of(card)
    assert not files_of(card) & others
    # Dynamic int8 scales by the largest value of the batch; the others do not.
    assert installed(card).batch_invariant == (variant != "quantized")
    known = np.array(installed(card).canary)
    assert np.abs(vector(card)[: len(known)] - known).max() < 1e-6
    assert len(known) == (1 if card.reranking else 16)


@pytest.mark.parametrize("name", [NANO, "jina-embeddings-v3", RERANKER])
def test_the_default_variant_gives_what_the_oracle_gives(world: TwinWorld, name: str) -> None:
    card, twin = world.card(name), world.twin(world.card(name))
    world.pull(card)
    ids = canary_row(card, load_tokenizer(card)).ids
    if card.reranking is not None:
        expected = np.array([1 / (1 + np.exp(-reranker_v2.logit(ids)))])
    else:
        expected = twin.vector(ids, **({"task": 0} if name == "jina-embeddings-v3" else {}))[:16]
    assert np.abs(np.array(installed(card).canary) - expected).max() < 1e-5


def test_another_variant_replaces_the_first_and_the_config_stays(world: TwinWorld) -> None:
    card = world.card(NANO)
    config = (card.folder / "config.pbtxt").read_bytes()
    world.pull(card)
    full, first = vector(card), installed(card)
    result = world.pull(card, variant="quantized")
    assert result.removed == ("1/model.onnx", "1/model.onnx_data")
    assert files_of(card) >= {"1/model_quantized.onnx", "1/model_quantized.onnx_data", "1/serving.onnx"}
    assert installed(card).variant == "quantized"
    assert installed(card).canary != first.canary
    assert np.abs(vector(card) - full).max() > 1e-4, "the serving graph was made around the other one"
    assert (card.folder / "config.pbtxt").read_bytes() == config
    assert not stale_files(card)
    # What is there stays when nothing is asked for; `none` is the default one.
    assert world.pull(card).installed == ()
    assert world.pull(card, variant="none").variant == "fp32"
    assert np.array_equal(vector(card), full)
    assert installed(card).files.keys() == first.files.keys()


def test_only_what_differs_is_fetched_for_another_variant(world: TwinWorld) -> None:
    card = world.card(NANO)
    world.pull(card)
    world.hub.requests.clear()
    world.pull(card, variant="fp16")
    assert [request.path.rpartition("/")[2] for request in world.hub.requests if request.method == "GET"] == [
        "model_fp16.onnx",
        "model_fp16.onnx_data",
    ]


def publish_q4(world: TwinWorld, card: Card, location: str = "weights/q4.bin") -> None:
    publish_variant(world, card, "q4", location=location)


def test_a_variant_that_the_card_does_not_list_is_found_at_its_usual_place(world: TwinWorld) -> None:
    card = world.card(NANO)
    publish_q4(world, card)
    assert world.pull(card, variant="q4").variant == "q4"
    assert {"1/model_q4.onnx", "1/weights/q4.bin"} <= files_of(card)
    assert is_complete(card)
    assert verify(card).faults == ()
    locked = installed(card)
    data = world.twin(card).files["onnx/model.onnx_data"]
    assert locked.files["1/weights/q4.bin"].sha256 == hashlib.sha256(data).hexdigest()
    assert locked.revision == world.hub.revision
    assert world.pull(card).installed == ()
    assert set(world.pull(card, variant="fp32").removed) == {"1/model_q4.onnx", "1/weights/q4.bin"}


def test_a_missing_file_of_such_a_variant_is_missed_and_fetched(world: TwinWorld) -> None:
    card = world.card(NANO)
    publish_q4(world, card)
    world.pull(card, variant="q4")
    card.path_of("1/weights/q4.bin").unlink()
    assert [file.path for file in missing_files(card)] == ["1/weights/q4.bin"]
    assert "1/weights/q4.bin" in world.pull(card).installed
    assert is_complete(card)


def test_a_variant_that_nobody_has_is_refused_with_those_there_are(world: TwinWorld) -> None:
    card = world.card(NANO)
    world.pull(card)
    with pytest.raises(ArtifactError, match="not published as bnb4; the model hub has fp32, fp16, quantized"):
        world.pull(card, variant="bnb4")
    assert is_complete(card)
    assert installed(card).variant == "fp32"


@pytest.mark.parametrize("location", ["../../secret", "/etc/hostname"])
def test_a_graph_that_reaches_out_of_its_folder_is_refused_before_anything_is_installed(
    world: TwinWorld, location: str
) -> None:
    card = world.card(NANO)
    publish_q4(world, card, location)
    with pytest.raises(ArtifactError, match=r"outside its own folder\. Nothing was installed") as caught:
        world.pull(card, variant="q4")
    assert location in caught.value.message
    assert files_of(card) == set()
    assert list(world.staging.glob("*.partial")) == []
    assert not is_complete(card)
    world.pull(card)
    with pytest.raises(ArtifactError, match="outside its own folder"):
        world.pull(card, variant="q4")
    assert is_complete(card)
    assert verify(card).faults == ()


@pytest.mark.parametrize("location", ["serving.onnx", "files.lock.json", ".pull.lock"])
def test_a_graph_may_not_keep_its_weights_in_our_files(world: TwinWorld, location: str) -> None:
    card = world.card(NANO)
    publish_q4(world, card, location)
    with pytest.raises(ArtifactError, match="a file of this gateway"):
        world.pull(card, variant="q4")
    assert not is_complete(card)


def test_data_that_the_card_only_guesses_is_not_demanded(world: TwinWorld) -> None:
    """Nobody knows whether a file like `model_fp16.onnx` comes with a data file: the graph tells."""
    card = world.card("jina-embeddings-v5-text-nano-clustering")
    assert any(file.path == "1/model_fp16.onnx_data" and file.sha256 is None for file in card.files)
    whole = world.hub.files["jinaai/jina-embeddings-v3", "onnx/model_fp16.onnx"]
    v3 = world.card("jina-embeddings-v3")
    single = replace(
        v3,
        name=card.name,
        folder=card.folder,
        files=(
            *v3.files,
            *(replace(file, sha256=None) for file in card.files if file.path == "1/model_fp16.onnx_data"),
        ),
    )
    assert world.hub.files[single.repository, "onnx/model_fp16.onnx"] == whole
    world.pull(single, variant="fp16")
    assert is_complete(single)
    assert "1/model_fp16.onnx_data" not in installed(single).files


@pytest.mark.parametrize(
    ("asked", "there", "chosen"),
    [
        (None, None, "fp32"),
        (None, "fp16", "fp16"),
        ("none", "fp16", "fp32"),
        ("Default", "fp16", "fp32"),
        (" FP16 ", None, "fp16"),
        ("FP32", "fp16", "fp32"),
        ("O4", None, "O4"),
    ],
)
def test_which_variant_is_meant(asked: str | None, there: str | None, chosen: str) -> None:
    card = next(card for card in CARDS if card.name == "jina-embeddings-v3")
    assert chosen_variant(card, asked, installed=there) == chosen


@pytest.mark.parametrize("word", ["../fp16", "fp16.onnx", "", " ", "_x", "a/b"])
def test_a_word_that_is_no_variant_is_refused(word: str) -> None:
    with pytest.raises(ConfigurationError, match="is no variant"):
        chosen_variant(CARDS[0], word, installed=None)


def test_a_model_of_one_precision_has_no_other() -> None:
    card = next(card for card in Registry.from_repository(SHIPPED).cards if not card.variants)
    assert chosen_variant(card, "fp32", installed=None) is None
    assert chosen_variant(card, "none", installed=None) is None
    with pytest.raises(ConfigurationError, match="comes in one precision only"):
        chosen_variant(card, "fp16", installed=None)


def test_variants_are_told_apart_by_their_usual_names() -> None:
    paths = [
        "onnx/model.onnx",
        "onnx/model_O4.onnx",
        "onnx/model_q4f16.onnx",
        "onnx/model.onnx_data",
        "model_int8.onnx",
    ]
    assert variants_among("onnx/model.onnx", paths) == ("fp32", "O4", "q4f16")
    assert variants_among("model.onnx", paths) == ("int8",)


class Told(SilentProgress):
    """What a pull says it is doing."""

    def __init__(self) -> None:
        self.expected: list[Sequence[str]] = []
        self.steps: list[str] = []

    def expect(self, labels: Sequence[str]) -> None:
        self.expected.append(labels)

    def step(self, what: str) -> None:
        self.steps.append(what)


def test_a_pull_says_which_files_come_and_what_it_does_with_them(tmp_path: Path) -> None:
    told = Told()
    with twin_world(tmp_path, "jina-embeddings-v3") as world:
        pull(world.card("jina-embeddings-v3"), replace(world.fetching(), progress=told))
    first, last = told.expected
    assert first[0] == "1/model.onnx"
    assert {*last} - {*first} == {"1/model.onnx_data"}
    assert told.steps == [
        "building the serving graph",
        "comparing it with the published one",
        "measuring the known text",
    ]
