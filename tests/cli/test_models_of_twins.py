"""`gateway models` and `gateway up` on models with variants and on families: the shipped cards over their twins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.artifacts.completeness import is_complete
from gateway.artifacts.findings import Finding
from gateway.cli import run_file
from gateway.cli.health_checks import model_checks
from gateway.cli.running_triton import loaded_models, triton_address
from gateway.cli.triton_proof import prove_through_triton
from gateway.cli.up import complete_cards, memory_note, missing_members
from gateway.errors import ArtifactError
from gateway.settings import load_settings
from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.supervisor import EmbeddedTriton
from tests.support.models_command import Gateway, models_command
from tests.support.twin_world import TwinWorld, files_of, installed, publish_variant, twin_world

NANO = "jina-embeddings-v5-text-nano"
V3 = "jina-embeddings-v3"
RERANKER = "jina-reranker-v2-base-multilingual"
NOBODY = "127.0.0.1:9"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwinWorld]:
    with twin_world(tmp_path, NANO, V3, RERANKER) as world:
        settings = {
            "GATEWAY_MODEL_REPOSITORY": world.models,
            "GATEWAY_RUN_FOLDER": tmp_path / "run",
            "GATEWAY_VOCABULARY_FOLDER": tmp_path / "vocabularies",
            "TRITON_URL": NOBODY,
            "HF_ENDPOINT": world.hub.url,
            "HF_TOKEN": "word",
            "COLUMNS": "300",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.chdir(tmp_path)
        yield world


@pytest.fixture
def gateway(world: TwinWorld, capsys: pytest.CaptureFixture[str]) -> Gateway:
    return models_command(capsys)


def row(gateway: Gateway, name: str) -> dict[str, object]:
    rows = json.loads(gateway("list", "--json").out)["models"]
    return next(row for row in rows if row["name"] == name)


def members(world: TwinWorld) -> list[str]:
    return [f"{NANO}-{task}" for task in ("retrieval", "text-matching", "clustering", "classification")]


def test_a_familys_name_brings_all_its_members_and_a_members_name_one(world: TwinWorld, gateway: Gateway) -> None:
    one = gateway("pull", f"{NANO}-retrieval")
    assert one.code == 0
    assert [name for name in members(world) if is_complete(world.card(name))] == [f"{NANO}-retrieval"]
    everything = gateway("pull", NANO)
    assert everything.code == 0
    assert all(is_complete(world.card(name)) for name in members(world))
    assert f"{NANO}-retrieval (fp32) was complete already" in everything.err
    assert f"{NANO}-clustering (fp32) is complete in" in everything.err


def test_one_members_failure_does_not_keep_the_others_back(world: TwinWorld, gateway: Gateway) -> None:
    card = world.card(f"{NANO}-text-matching")
    del world.hub.files[card.repository, "onnx/model.onnx_data"]
    outcome = gateway("pull", NANO)
    assert outcome.code == 1
    assert "has no onnx/model.onnx_data" in outcome.err
    assert [name for name in members(world) if not is_complete(world.card(name))] == [card.name]


@pytest.mark.parametrize(
    ("setting", "option", "installs"),
    [
        ({}, [], "fp32"),
        ({}, ["--variant", "fp16"], "fp16"),
        ({"GATEWAY_VARIANT": "fp16"}, [], "fp16"),
        ({"ONNX_QUANTIZATION": "fp16"}, [], "fp16"),
        ({"ONNX_QUANTIZATION": "none"}, [], "fp32"),
        ({"ONNX_QUANTIZATION": "none", "GATEWAY_VARIANT": "fp16"}, [], "fp16"),
        ({"GATEWAY_VARIANT": "fp16"}, ["--variant", "none"], "fp32"),
        ({"GATEWAY_VARIANT": ""}, [], "fp32"),
    ],
)
def test_the_option_outranks_the_setting_and_that_the_foreign_one(
    world: TwinWorld,
    gateway: Gateway,
    monkeypatch: pytest.MonkeyPatch,
    setting: dict[str, str],
    option: list[str],
    installs: str,
) -> None:
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    assert gateway("pull", V3, *option).code == 0
    assert installed(world.card(V3)).variant == installs


def test_pull_tells_what_it_replaced_and_what_a_precision_costs(world: TwinWorld, gateway: Gateway) -> None:
    gateway("pull", RERANKER)
    outcome = gateway("pull", RERANKER, "--variant", "quantized")
    assert f"{RERANKER} (quantized) is complete in" in outcome.err
    assert "Replaced and removed: 1/model.onnx." in outcome.err
    assert "texts go to the model one at a time" in outcome.err
    assert "was complete already" in gateway("pull", RERANKER).err
    assert installed(world.card(RERANKER)).variant == "quantized"


def test_a_variant_that_is_not_there_is_told_with_those_that_are(world: TwinWorld, gateway: Gateway) -> None:
    publish_variant(world, world.card(V3), "q4", location="q4.bin")
    outcome = gateway("pull", V3, "--variant", "bnb4")
    assert outcome.code == 1
    assert "is not published as bnb4; the model hub has fp32, fp16, q4." in outcome.err
    assert "Remedy: Name one of those with --variant." in outcome.err
    assert gateway("pull", V3, "--variant", "q4").code == 0
    assert "1/q4.bin" in files_of(world.card(V3))


def test_a_mistake_in_the_last_name_is_told_before_anything_is_fetched(world: TwinWorld, gateway: Gateway) -> None:
    assert gateway("pull", V3, "nope").code == 1
    assert world.hub.requests == []


def test_list_follows_a_model_from_known_to_verified(world: TwinWorld, gateway: Gateway) -> None:
    known = row(gateway, V3)
    assert (known["state"], known["variant"], known["dimensions"], known["licence"]) == (
        "known",
        None,
        32,
        "CC-BY-NC-4.0",
    )
    assert known["tasks"] == ["retrieval.query", "retrieval.passage", "separation", "classification", "text-matching"]
    assert known["variants"] == ["fp32", "fp16"]
    gateway("pull", V3, "--variant", "fp16")
    there = row(gateway, V3)
    assert (there["state"], there["variant"], there["missing_files"]) == ("downloaded", "fp16", [])
    assert there["size_bytes"] == sum(world.card(V3).path_of(path).stat().st_size for path in files_of(world.card(V3)))
    assert gateway("verify", V3).code == 0
    proved = row(gateway, V3)
    assert proved["state"] == "verified"
    assert str(proved["verified_at"]).endswith("+00:00")
    gateway("pull", V3, "--variant", "fp32")
    assert row(gateway, V3)["state"] == "downloaded", "what was proved is gone"


def test_list_shows_a_familys_members(world: TwinWorld, gateway: Gateway) -> None:
    gateway("pull", f"{NANO}-retrieval", "--variant", "quantized")
    family = row(gateway, NANO)
    assert (family["state"], len(family["members"])) == ("known", 4)  # type: ignore[arg-type]
    states = {one["name"]: (one["state"], one["variant"], one["batch_invariant"]) for one in family["members"]}  # type: ignore[attr-defined]
    assert states[f"{NANO}-retrieval"] == ("downloaded", "quantized", False)
    assert states[f"{NANO}-clustering"] == ("known", None, True)
    shown = gateway("list").out
    assert "1 downloaded, 3 known" in shown
    assert f"  {NANO}-retrieval" in shown


def test_verify_names_a_flipped_byte(world: TwinWorld, gateway: Gateway) -> None:
    gateway("pull", V3)
    path = world.card(V3).path_of("1/model.onnx_data")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    outcome = gateway("verify", V3)
    assert outcome.code == 1
    assert "FAULT file 1/model.onnx_data: Its sha256 is" in outcome.out
    assert "the lock says" in outcome.out
    assert f"Remedy: gateway models pull {V3} --verify" in outcome.out
    assert gateway("pull", V3, "--verify").code == 0
    assert gateway("verify", V3).code == 0


def test_verify_demands_a_triton_only_where_one_is_named(world: TwinWorld, gateway: Gateway) -> None:
    gateway("pull", V3)
    assert "triton" not in gateway("verify", V3).out
    demanded = gateway("verify", V3, "--triton", NOBODY)
    assert demanded.code == 1
    assert f"FAULT triton {NOBODY}: No Triton answers there." in demanded.out


def test_a_members_files_are_told_missing_to_whoever_starts(world: TwinWorld, gateway: Gateway) -> None:
    settings = load_settings()
    with pytest.raises(ArtifactError, match="No model's files are complete"):
        complete_cards(settings)
    assert complete_cards(load_settings(auto_pull=True)) == ()
    gateway("pull", f"{NANO}-retrieval")
    (card,) = complete_cards(settings)
    assert card.name == f"{NANO}-retrieval"
    assert complete_cards(load_settings(models=(NANO,))) == (card,)
    (note,) = missing_members(settings, [card])
    assert note.startswith(f"{NANO} is served in part; not installed: {NANO}-text-matching, ")
    (check,) = [check for check in model_checks(settings) if NANO in check.name]
    assert (check.ok, check.remedy) == (True, f"gateway models pull {NANO}")
    assert "served in part, without" in check.finding
    for name in (V3, f"{NANO}-clustering"):
        with pytest.raises(ArtifactError, match=f"{name} cannot be served") as caught:
            complete_cards(load_settings(models=(name,)))
        assert caught.value.remedy == f"gateway models pull {name}"


def test_models_that_fill_the_memory_are_told(
    world: TwinWorld, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway("pull", V3)
    cards = [world.card(V3)]
    assert list(memory_note(cards)) == []
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    (note,) = memory_note(cards)
    assert "--variant" in note


def test_the_running_triton_is_found_by_the_run_file(world: TwinWorld, tmp_path: Path) -> None:
    settings = load_settings()
    assert triton_address(settings) == NOBODY
    assert loaded_models(settings) == frozenset()
    assert prove_through_triton([], NOBODY) is None
    with run_file.sole_run(settings.run_folder) as record:
        run_file.write(record, url="http://127.0.0.1:1", ports={"gateway": 1, "grpc": 18}, models=())
        assert triton_address(settings) == "127.0.0.1:18"


def test_a_real_triton_is_asked_for_the_same_values(
    world: TwinWorld, gateway: Gateway, tritonserver: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter, a reranker, a family's member in a precision that mixes rows: loaded, proved, told apart."""
    names = (V3, RERANKER, f"{NANO}-retrieval")
    for name in names:
        assert gateway("pull", name, "--variant", {V3: "fp16"}.get(name, "quantized")).code == 0
    triton = EmbeddedTriton(repository=world.models, run_folder=tmp_path / "triton", ports=Ports(*pick_free(3)))
    with BackgroundTriton(triton) as background:
        report = background.start(names)
        monkeypatch.setenv("TRITON_URL", report.endpoints.grpc)
        assert loaded_models(load_settings()) == set(names)
        assert row(gateway, V3)["state"] == "loaded"
        assert row(gateway, NANO)["state"] == "known", "three of its members are not there"
        verified = gateway("verify", *names)
        assert verified.code == 0, verified.out
        assert verified.out.count("comes through Triton as it does here") == 3
        # Other files than those that Triton has loaded.
        assert gateway("pull", RERANKER, "--variant", "fp32").code == 0
        other = gateway("verify", RERANKER)
        assert other.code == 1
        assert "FAULT triton" in other.out
        assert "the known text's value is off by" in other.out
        (finding,) = (prove_through_triton([world.card(V3)], report.endpoints.grpc) or {}).values()
        assert finding == Finding(
            "triton", report.endpoints.grpc, True, "The known text's value comes through Triton as it does here."
        )
        not_loaded = gateway("pull", f"{NANO}-clustering")
        assert not_loaded.code == 0
        missed = gateway("verify", f"{NANO}-clustering", "--triton", report.endpoints.grpc)
        assert "It has not loaded the model." in missed.out


def test_build_graph_tells_of_the_installed_variant(world: TwinWorld, gateway: Gateway) -> None:
    card = world.card(V3)
    for variant in ("fp16", "fp32"):
        gateway("pull", V3, "--variant", variant)
        entry = installed(card).files["1/serving.onnx"]
        assert gateway("build-graph", V3).out == f'size_bytes = {entry.size_bytes}\nsha256 = "{entry.sha256}"\n'
