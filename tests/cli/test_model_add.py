"""`gateway models add` as people and programs run it, on small repositories behind a loopback hub."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.artifacts.completeness import is_complete
from gateway.cards.loading import load_card
from gateway.cards.registry import Registry
from gateway.cards.rendering import stale_files
from gateway.cli import main
from tests.support.local_hub import LocalHub, local_hub
from tests.support.twins import generic, reranker_v2, v2_base_en, v3
from tests.support.twins.publishing import publish
from tests.support.twins.tokenizer_files import json_file
from tests.support.twins.twin import Twin
from tests.support.twins.variations import GRAPH, changed, external_data

Files = Mapping[str, bytes | None]
README = b"---\nlicense: apache-2.0\n---\n# A model\n"


@dataclass
class Outcome:
    code: int
    out: str
    err: str


Add = Callable[..., Outcome]


@dataclass
class World:
    hub: LocalHub
    models: Path
    run: Path

    def publish(self, base: Callable[[], Twin], repository: str = "", files: Files | None = None) -> str:
        """Put a repository on the hub: a twin's, under another name and with other files where they are given."""
        twin = changed(base(), repository or base().repository, files or {})
        publish(self.hub, twin)
        return twin.repository

    def folders(self) -> list[str]:
        return sorted(path.name for path in self.models.iterdir())

    def leftovers(self) -> list[str]:
        """Files of models in the making."""
        folder = self.run / "downloads" / "adding"
        return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    (tmp_path / "models").mkdir()
    with local_hub() as hub:
        settings = {
            "GATEWAY_MODEL_REPOSITORY": tmp_path / "models",
            "GATEWAY_RUN_FOLDER": tmp_path / "run",
            "HF_ENDPOINT": hub.url,
            # Wide enough that no line is folded.
            "COLUMNS": "300",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.chdir(tmp_path)
        yield World(hub, tmp_path / "models", tmp_path / "run")


@pytest.fixture
def add(world: World, capsys: pytest.CaptureFixture[str]) -> Add:
    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as caught:
            main(["models", "add", *arguments])
        out, err = capsys.readouterr()
        return Outcome(int(caught.value.code or 0), out, err)

    return run


def refused(world: World, outcome: Outcome, *words: str) -> None:
    """Exit code 1, the words on stderr with a remedy, no traceback, and nothing left anywhere."""
    assert outcome.code == 1, outcome
    for word in words:
        assert word in outcome.err
    assert "Remedy: " in outcome.err
    assert "Traceback" not in outcome.err
    assert world.folders() == []
    assert world.leftovers() == []


def test_a_model_is_added_whole_and_says_how_it_is_used(world: World, add: Add) -> None:
    repository = world.publish(generic.prompted, files={"README.md": README})
    outcome = add(repository)
    assert outcome.code == 0, outcome.err
    card = load_card(world.models / "prompted")
    assert is_complete(card)
    assert not stale_files(card)
    assert world.folders() == ["prompted"]
    assert world.leftovers() == []
    lines = [line.split(maxsplit=1) for line in outcome.out.splitlines()]
    assert ["licence", "Apache-2.0                                README.md"] in [
        [first, rest.strip()] for first, rest in (line for line in lines if len(line) == 2)
    ]
    assert "prompted is added in" in outcome.out
    assert "Serve it: gateway up" in outcome.out
    assert """-d '{"model": "prompted", "input": ["Hello"], "task": "query"}'""" in outcome.out


def test_what_was_derived_is_told_with_its_source_to_programs_too(world: World, add: Add) -> None:
    document = json.loads(add(world.publish(generic.prompted), "--json").out)
    assert (document["state"], document["name"]) == ("added", "prompted")
    assert document["folders"] == [str(world.models / "prompted")]
    assert document["derived"]["window"] == {"value": "16 tokens", "source": "sentence_bert_config.json"}
    assert document["derived"]["pooling"] == {"value": "mean", "source": "1_Pooling/config.json"}
    assert document["derived"]["default task"]["value"] == "document"
    assert document["card"] == (world.models / "prompted" / "card.toml").read_text(encoding="utf-8")
    assert any("licence" in note for note in document["notes"])


def test_a_dry_run_prints_the_card_and_leaves_the_models_alone(world: World, add: Add) -> None:
    repository = world.publish(generic.mean)
    outcome = add(repository, "--dry-run")
    assert outcome.code == 0
    assert '[graph.config]\ntoken_embeddings = "last_hidden_state"' in outcome.out
    assert world.folders() == []
    assert json.loads(add(repository, "--dry-run", "--json").out)["state"] == "planned"
    downloads = len(world.hub.downloads(GRAPH))
    assert add(repository).code == 0
    assert len(world.hub.downloads(GRAPH)) == downloads == 1, "what a dry run fetched is not fetched again"
    assert json.loads(add(repository, "--dry-run", "--json").out)["state"] == "present"


@pytest.mark.parametrize(
    ("base", "words"),
    [
        (generic.unknown_input, ["required inputs that nothing is known to feed: pixel_values"]),
        (generic.dense_stage, ["Dense stage (2_Dense)", "export the model with all its stages".capitalize()]),
        (generic.pickle_only, ["pytorch_model.bin alone: a pickle", "optimum-cli export onnx"]),
        (generic.escaping, ["'../outside.bin'", "outside its own folder"]),
    ],
)
def test_what_cannot_be_served_faithfully_is_refused(
    world: World, add: Add, base: Callable[[], Twin], words: list[str]
) -> None:
    refused(world, add(world.publish(base)), *words)


STAGE = "sentence_transformers.models"


def stages(*kinds: str) -> bytes:
    paths = ["", *(f"{place}_{kind}" for place, kind in enumerate(kinds) if place)]
    return json_file([{"path": path, "type": f"{STAGE}.{kind}"} for path, kind in zip(paths, kinds, strict=True)])


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"modules.json": stages("Transformer", "WeightedLayerPooling", "Pooling")}, ["WeightedLayerPooling"]),
        ({"modules.json": stages("StaticEmbedding")}, ["StaticEmbedding", "modules.json"]),
        ({generic.POOLING: json_file({"pooling_mode": ["mean", "max"]})}, ["joins several poolings", "mean and max"]),
        ({generic.POOLING: json_file({"pooling_mode": "mean", "include_prompt": False})}, ["include_prompt is false"]),
        ({"config.json": json_file({"architectures": ["BertForSequenceClassification"]})}, ["cross-encoder", "rerank"]),
        ({"tokenizer.json": None}, ["has no tokenizer.json", "save_pretrained"]),
        (
            {
                "tokenizer.json": None,
                "tokenizer_config.json": json_file({"auto_map": {"AutoTokenizer": ["a.B", None]}}),
            },
            ["code of the repository's own"],
        ),
        ({"tokenizer_config.json": json_file({"tokenizer_class": "BertTokenizer", "do_lower_case": False})}, ["case"]),
        ({"onnx/model.onnx": None, "a/one.onnx": b"x", "a/two.onnx": b"y"}, ["2 ONNX files", "--file a/one.onnx"]),
        ({"onnx/model.onnx": b"not a graph"}, ["not an ONNX graph"]),
        ({"config.json": json_file({}), "tokenizer_config.json": None}, ["how many tokens", "--max-tokens"]),
        ({generic.POOLING: b"{"}, ["1_Pooling/config.json cannot be understood"]),
        ({generic.POOLING: json_file({"pooling_mode": "cls", "embedding_dimension": 99})}, ["24 numbers", "99"]),
        ({"config_sentence_transformers.json": json_file({"model_type": "SparseEncoder"})}, ["SparseEncoder"]),
        ({"sentence_bert_config.json": json_file({"transformer_task": "fill-mask"})}, ["fill-mask"]),
    ],
)
def test_other_things_that_would_give_other_vectors_are_refused_too(
    world: World, add: Add, files: Files, words: list[str]
) -> None:
    outcome = add(world.publish(generic.mean, "acme/odd", files))
    refused(world, outcome, *words)


def test_a_stated_window_that_the_model_cannot_read_is_found_out(world: World, add: Add) -> None:
    config = json.loads(generic.mean().files["config.json"]) | {"model_type": "unheard-of"}
    files = {"config.json": json_file(config), "sentence_bert_config.json": json_file({"max_seq_length": 65})}
    refused(world, add(world.publish(generic.mean, "acme/long", files)), "cannot read 65 tokens", "--max-tokens")
    assert add("acme/long", "--max-tokens", "64").code == 0


def test_a_gated_repository_asks_for_a_token_and_opens_with_it(
    world: World, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = world.publish(generic.mean)
    world.hub.token = "word"
    refused(world, add(repository), "gated, private or does not exist, and HF_TOKEN is not set")
    monkeypatch.setenv("HF_TOKEN", "word")
    assert add(repository).code == 0


def test_a_repository_or_revision_that_is_not_there_is_told(world: World, add: Add) -> None:
    repository = world.publish(generic.mean)
    refused(world, add("acme/nothing"), "no acme/nothing at revision main", "Check the name, OWNER/NAME")
    refused(world, add(repository, "--revision", "v9"), f"no {repository} at revision v9")
    refused(world, add("https://hub.example.com/acme/x"), "not the name of a repository", "OWNER/NAME")


def test_a_revision_that_stands_for_no_commit_pins_nothing(world: World, add: Add) -> None:
    repository = world.publish(generic.mean)
    world.hub.revision = "latest"
    outcome = add(repository)
    assert (outcome.code, "does not say which commit latest" in outcome.err) == (1, True)
    assert world.folders() == []


def test_other_layouts_of_the_hub(world: World, add: Add) -> None:
    """A conversion without stages, an adapter model with code of its own, and a reranker."""
    for build in (v2_base_en.build, v3.build, reranker_v2.build):
        publish(world.hub, build())
    refused(world, add(v3.REPOSITORY), "custom_st.Transformer is code of the repository's own")
    refused(world, add(reranker_v2.REPOSITORY), "cross-encoder", "/v1/rerank")
    outcome = add(v2_base_en.REPOSITORY, "--variant", "quantized", "--max-tokens", "512")
    assert outcome.code == 0, outcome.err
    assert "its pooling, mean, is assumed" in outcome.out
    assert "sent one text a call" in outcome.out


def test_a_branch_is_pinned_to_its_commit(world: World, add: Add) -> None:
    repository = world.publish(generic.mean)
    world.hub.branches = ("main", "v1")
    assert add(repository, "--revision", "v1").code == 0
    assert load_card(world.models / "mean-pooled").revision == world.hub.revision


def test_options_outrank_the_repository(world: World, add: Add) -> None:
    twin = generic.mean()
    files = {"onnx/model_fp16.onnx": twin.files[GRAPH], "README.md": README}
    repository = world.publish(generic.mean, "acme/many", files)
    wishes = ["--name", "mine", "--pooling", "lasttoken", "--max-tokens", "20", "--license", "MIT", "--variant", "fp16"]
    outcome = add(repository, *wishes)
    assert outcome.code == 0, outcome.err
    card = load_card(world.models / "mine")
    assert (card.hub_id, card.embedding.pooling, card.tokenizer.max_tokens) == ("acme/many", "last_token", 20)
    assert card.licence == "MIT"
    assert "--licence, though README.md says Apache-2.0" in outcome.out
    assert [(file.hub_path, file.variant) for file in card.files if file.variant] == [("onnx/model_fp16.onnx", "fp16")]


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (["--file", "a.onnx", "--variant", "fp16"], "both choose the ONNX file"),
        (["--pooling", "median"], "--pooling 'median' is not known"),
        (["--variant", "q4"], "no ONNX file of the variant q4"),
        (["--file", "nope.onnx"], "no ONNX file nope.onnx"),
        (["--max-tokens", "65"], "more than the 64 positions"),
        (["--name", "../up"], "cannot be a model's name"),
    ],
)
def test_wishes_that_cannot_be_met_are_refused(world: World, add: Add, wishes: list[str], words: str) -> None:
    outcome = add(world.publish(generic.mean), *wishes)
    assert (outcome.code, words in outcome.err) == (1, True), outcome.err
    assert world.folders() == []


def test_adding_again_does_nothing_and_mends_what_is_missing(world: World, add: Add) -> None:
    repository = world.publish(generic.mean)
    assert add(repository).code == 0
    before = {path: path.stat().st_mtime_ns for path in world.models.rglob("*") if path.is_file()}
    asked = len(world.hub.requests)
    again = add(repository)
    assert (again.code, "is there already, complete" in again.out) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in world.models.rglob("*") if path.is_file()} == before
    assert len(world.hub.requests) == asked
    (world.models / "mean-pooled" / "1" / "tokenizer.json").unlink()
    assert add(repository.upper()).code == 0
    assert is_complete(load_card(world.models / "mean-pooled"))


def test_adding_again_with_other_wishes_says_how_to_go_on(world: World, add: Add) -> None:
    repository = world.publish(generic.mean)
    add(repository)
    outcome = add(repository, "--pooling", "cls", "--revision", "main")
    assert (outcome.code, "another pooling: mean, not cls" in outcome.err) == (1, True)
    assert "delete the folder" in outcome.err
    assert add(repository, "--pooling", "mean", "--revision", "main").code == 0
    assert add(repository, "--pooling", "cls", "--name", "second").code == 0
    registry = Registry.from_repository(world.models)
    assert registry.cards_of("second")[0].repository == repository
    assert registry.cards_of(repository)[0].name == "mean-pooled"
    assert add(repository, "--name", "second").code == 0


def test_a_name_that_is_taken_is_told(world: World, add: Add) -> None:
    add(world.publish(generic.mean, "acme/one"))
    other = world.publish(generic.cls, "other/one")
    outcome = add(other)
    assert (outcome.code, "taken by the model one, of acme/one" in outcome.err) == (1, True)
    assert "--name OTHER" in outcome.err
    (world.models / "two").mkdir()
    assert "has no card.toml" in add(other, "--name", "two").err
    assert add(other, "--name", "three").code == 0
    assert world.folders() == ["one", "three", "two"]


def test_a_download_that_breaks_off_is_gone_on_with(world: World, add: Add) -> None:
    repository = world.publish(external_data)
    world.hub.statuses["onnx/model.onnx_data"] = 503
    outcome = add(repository)
    assert (outcome.code, "503" in outcome.err) == (1, True)
    assert world.folders() == []
    assert "model.onnx" in world.leftovers()
    world.hub.statuses.clear()
    assert add(repository).code == 0
    assert len(world.hub.downloads(GRAPH)) == 1
    assert world.leftovers() == []


def test_what_was_left_of_another_commit_is_not_taken(world: World, add: Add) -> None:
    repository = world.publish(generic.mean)
    assert add(repository, "--dry-run").code == 0
    publish(world.hub, changed(generic.cls(), repository, {}))
    world.hub.revision = "e" * 40
    assert add(repository).code == 0
    card = load_card(world.models / "mean-pooled")
    assert (card.revision, card.embedding.pooling) == ("e" * 40, "cls")
    assert (world.models / "mean-pooled/1/model.onnx").read_bytes() == generic.cls().files[GRAPH]
