"""`gateway models` as people and programs run it, on a little model behind a loopback hub and index."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.cards.loading import load_card
from gateway.cards.rendering import config_path, stale_files
from gateway.cards.schema import Card
from tests.support.local_hub import LocalHub, local_hub
from tests.support.local_index import LocalIndex, local_index, make_wheel
from tests.support.models_command import Gateway, Outcome, models_command
from tests.support.tiny_bert import TinyModel

NANO = "jina-embeddings-v5-text-nano"
TASKS = ("retrieval", "text-matching", "clustering", "classification")
SCRIPT = Path(__file__).parents[2] / "scripts" / "verify_model_files.py"


@dataclass
class World:
    card: Card
    hub: LocalHub
    index: LocalIndex
    model: TinyModel


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    model = TinyModel()
    wheel = make_wheel("tiny-bert-files", "1.0", {f"tiny_files/{path}": data for path, data in model.published.items()})
    model.wheel_sha256 = hashlib.sha256(wheel).hexdigest()
    card = load_card(model.write_card(tmp_path / "repository", scratch=tmp_path))
    with local_hub() as hub, local_index(monkeypatch) as index:
        hub.publish(model.hub_id, model.published)
        index.publish("tiny-bert-files", "1.0", wheel)
        settings = {
            "GATEWAY_MODEL_REPOSITORY": tmp_path / "repository",
            "GATEWAY_RUN_FOLDER": tmp_path / "run",
            "GATEWAY_VOCABULARY_FOLDER": tmp_path / "vocabularies",
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": "word",
            # Wide enough that no line is folded.
            "COLUMNS": "300",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.chdir(tmp_path)
        yield World(card, hub, index, model)


@pytest.fixture
def gateway(world: World, capsys: pytest.CaptureFixture[str]) -> Gateway:
    return models_command(capsys)


def test_list_tells_known_from_downloaded(world: World, gateway: Gateway) -> None:
    before = gateway("list")
    assert (before.code, "tiny-bert  known" in before.out) == (0, True)
    assert "gateway models pull cl100k_base" in before.out
    gateway("pull", "tiny-bert")
    assert "tiny-bert  downloaded" in gateway("list").out
    (row,) = json.loads(gateway("list", "--json").out)["models"]
    assert (row["name"], row["state"], row["missing_files"]) == ("tiny-bert", "downloaded", [])


def test_pull_takes_any_name_and_the_hub_settings(world: World, gateway: Gateway) -> None:
    outcome = gateway("pull", "Someone/TINY-bert")
    assert outcome.code == 0
    assert f"tiny-bert is complete in {world.card.folder}." in outcome.err
    assert world.hub.downloads("model.safetensors")[0].authorization == "Bearer word"
    assert "was complete already" in gateway("pull", "tiny-bert").err


@pytest.mark.parametrize("source", ["hub", "index"])
def test_pull_from_one_source_asks_no_other(world: World, gateway: Gateway, source: str) -> None:
    assert gateway("pull", "tiny-bert", "--from", source).code == 0
    assert bool(world.hub.requests) == (source == "hub")
    assert bool(world.index.paths) == (source == "index")


def test_pull_verify_mends_a_damaged_file(world: World, gateway: Gateway) -> None:
    gateway("pull", "tiny-bert")
    path = world.card.path_of("1/tokenizer.json")
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    assert "is complete in" in gateway("pull", "tiny-bert", "--verify").err
    assert path.read_bytes() == world.model.published["tokenizer.json"]


def test_pull_explains_when_no_source_gives_the_files(
    world: World, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    world.index.wheels.clear()
    outcome = gateway("pull", "tiny-bert")
    assert outcome.code != 0
    assert "could not be fetched" in outcome.err
    assert "HF_ENDPOINT" in outcome.err
    assert "Traceback" not in outcome.err


def test_an_unknown_name_is_answered_with_the_known_ones(gateway: Gateway) -> None:
    outcome = gateway("pull", "nope")
    assert outcome.code != 0
    assert "Known models: tiny-bert" in outcome.err
    assert "gateway models list" in outcome.err


def test_verify_names_the_fault_and_the_remedy(world: World, gateway: Gateway) -> None:
    gateway("pull", "tiny-bert")
    gateway("render")
    right = gateway("verify", "tiny-bert")
    assert (right.code, "FAULT" in right.out) == (0, False)
    world.card.path_of("1/tokenizer.json").unlink()
    wrong = gateway("verify")
    assert wrong.code == 1
    assert "FAULT file 1/tokenizer.json: It is missing." in wrong.out
    assert "Remedy: gateway models pull tiny-bert" in wrong.out
    (report,) = json.loads(gateway("verify", "--json").out)
    assert (report["model"], report["ok"]) == ("tiny-bert", False)


def test_a_proof_ends_in_its_sum_and_tells_whole_hashes_of_faults_alone(world: World, gateway: Gateway) -> None:
    gateway("pull", "tiny-bert")
    gateway("render")
    path = world.card.path_of("1/tokenizer.json")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    right = gateway("verify")
    assert right.out.splitlines()[-1] == "1 model, no fault"
    assert f"sha256 {sha256[:12]}\n" in right.out
    assert sha256 in gateway("verify", "--json").out
    quiet = gateway("verify", "--quiet").out
    assert re.fullmatch(r"tiny-bert: verified, \d+ checks\.\n", quiet)
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    wrong = gateway("verify", "--quiet")
    assert wrong.code == 1
    assert wrong.out.splitlines()[-1] == "1 fault: tiny-bert"
    assert f"the card says {sha256}." in wrong.out
    assert "ok   " not in wrong.out


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["sentence-transformers/ALL-minilm-l6-v2"], ["all-MiniLM-L6-v2"]),
        (["jina-embeddings-v5-text-nano-retrieval"], [NANO, f"{NANO}-retrieval"]),
        (
            ["jina-embeddings-v3", NANO],
            ["jina-embeddings-v3", NANO, *(f"{NANO}-{task}" for task in TASKS)],
        ),
    ],
)
def test_resolve_prints_the_folders_of_all_that_is_named(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, names: list[str], folders: list[str]
) -> None:
    monkeypatch.setenv("GATEWAY_MODEL_REPOSITORY", str(SCRIPT.parents[1] / "model_repository"))
    assert sorted(gateway("resolve", *names).out.splitlines()) == sorted(folders)
    wrong = gateway("resolve", *names, "jina-embedings-v3")
    assert (wrong.code, wrong.out) == (1, "")
    assert "Did you mean jina-embeddings-v3?" in wrong.err


def test_render_writes_what_is_stale_and_check_only_tells(world: World, gateway: Gateway) -> None:
    assert gateway("render", "--check").code == 1
    assert not config_path(world.card).exists()
    assert gateway("render").code == 0
    assert not stale_files(world.card)
    checked = gateway("render", "--check")
    assert (checked.code, checked.out) == (0, "")


def test_build_graph_prints_what_the_card_has_to_state(world: World, gateway: Gateway) -> None:
    gateway("pull", "tiny-bert")
    (file,) = [file for file in world.card.files if file.built_by]
    outcome = gateway("build-graph", "tiny-bert")
    assert outcome.out == f'size_bytes = {file.size_bytes}\nsha256 = "{file.sha256}"\n'


@pytest.fixture
def script(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Gateway:
    spec = importlib.util.spec_from_file_location("verify_model_files", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
        code = module.main()
        return Outcome(code, *capsys.readouterr())

    return run


def test_the_script_says_its_sentence_when_all_is_well(gateway: Gateway, script: Gateway) -> None:
    missing = script()
    assert (missing.code, "ALL FILES ARE READY!" in missing.out) == (1, False)
    gateway("pull", "tiny-bert")
    gateway("render")
    ready = script("tiny")
    assert ready.code == 0
    assert ready.out.splitlines()[-1] == "ALL FILES ARE READY!"
    (report,) = json.loads(script("--json").out)
    assert report["ok"]
    unknown = script("nope")
    assert unknown.code == 2
    assert "Known models" in unknown.err


def test_a_precision_for_all_models_leaves_one_that_has_no_choice_alone(
    world: World, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_VARIANT", "fp16")
    assert gateway("pull", "tiny-bert").code == 0
    asked = gateway("pull", "tiny-bert", "--variant", "fp16")
    assert asked.code == 1
    assert "tiny-bert comes in one precision only, so there is no fp16 of it." in asked.err
