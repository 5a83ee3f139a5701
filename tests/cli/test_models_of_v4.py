"""`gateway models`, `up` and `doctor` on models of Triton's Python backend: the shipped cards over their twins."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.artifacts.completeness import is_complete
from gateway.cli import torch_checks, torch_presence
from gateway.cli.health_check import Check
from gateway.cli.health_checks import model_checks
from gateway.cli.up import complete_cards, left_out, memory_note
from gateway.errors import ArtifactError, ConfigurationError
from gateway.settings import load_settings
from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.supervisor import EmbeddedTriton
from tests.support.models_command import Gateway, models_command
from tests.support.twin_world import TwinWorld, installed, twin_world

V3, V4, MERGED = "jina-embeddings-v3", "jina-embeddings-v4", "jina-embeddings-v4-vllm-retrieval"
NOBODY = "127.0.0.1:9"
SCRIPT = "scripts/install_torch.sh"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwinWorld]:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with twin_world(tmp_path, V3, V4, MERGED) as world:
        settings = {
            "GATEWAY_MODEL_REPOSITORY": world.models,
            "GATEWAY_RUN_FOLDER": tmp_path / "run",
            "TRITON_URL": NOBODY,
            "HF_ENDPOINT": world.hub.url,
            "COLUMNS": "300",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.chdir(tmp_path)
        yield world


@pytest.fixture
def gateway(world: TwinWorld, capsys: pytest.CaptureFixture[str]) -> Gateway:
    return models_command(capsys)


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_presence, "PACKAGES", ("torch", "no_such_package"))


def checks() -> dict[str, Check]:
    return {check.name: check for check in model_checks(load_settings())}


def test_pull_shows_the_licence_before_it_fetches_and_how_much_that_is(world: TwinWorld, gateway: Gateway) -> None:
    first = gateway("pull", V4)
    assert first.code == 0
    licence, title, *_ = first.err.splitlines()
    assert licence.startswith(f"{V4} is under this licence: Qwen Research License (other copies")
    assert title == f"{V4}:"
    assert " to fetch in all\n" in first.err
    assert f"{V4} is complete in" in first.err
    assert "serving graph" not in first.err
    again = gateway("pull", V4)
    assert again.err.splitlines() == [f"{V4} was complete already in {world.card(V4).folder}."]


def test_a_gated_repository_names_the_token_and_where_to_accept_the_licence(
    world: TwinWorld, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.hub.token = "granted"
    refused = gateway("pull", MERGED)
    assert refused.code == 1
    assert "HF_TOKEN is not set" in refused.err
    assert f"Accept the licence on its page, {world.hub.url}/jinaai/{MERGED}, then set HF_TOKEN" in refused.err
    monkeypatch.setenv("HF_TOKEN", "granted")
    accepted = gateway("pull", MERGED)
    assert accepted.code == 0
    assert "granted" not in accepted.err + refused.err


def test_list_verify_and_build_graph_know_weights_in_several_files(world: TwinWorld, gateway: Gateway) -> None:
    gateway("pull", V4)
    rows = {row["name"]: row for row in json.loads(gateway("list", "--json").out)["models"]}
    sizes = [entry.size_bytes for entry in installed(world.card(V4)).files.values()]
    assert (rows[V4]["state"], rows[V4]["size_bytes"], rows[V4]["missing_files"]) == ("downloaded", sum(sizes), [])
    assert (rows[MERGED]["state"], rows[MERGED]["size_bytes"]) == ("known", None)
    verified = gateway("verify", V4)
    assert verified.code == 0, verified.out
    assert "ok    weights 1/model.safetensors.index.json: Its 2 files hold what it says." in verified.out
    told = gateway("build-graph", V4)
    assert told.code == 1
    assert f"{V4} has no graph to build: Triton's Python backend reads its weights as they are." in told.err
    # One of the two is gone: nothing counts as complete.
    world.card(V4).path_of("1/model-00002-of-00002.safetensors").unlink()
    rows = {row["name"]: row for row in json.loads(gateway("list", "--json").out)["models"]}
    assert (rows[V4]["state"], rows[V4]["missing_files"]) == ("known", ["1/model-00002-of-00002.safetensors"])
    with pytest.raises(ArtifactError, match="00002-of-00002"):
        complete_cards(load_settings(models=(V4,)))


def test_without_torch_the_others_are_served_and_one_line_says_how_to_mend_it(
    world: TwinWorld, gateway: Gateway, without_torch: None
) -> None:
    gateway("pull", V3)
    gateway("pull", V4)
    settings = load_settings()
    assert [card.name for card in complete_cards(settings)] == [V3]
    assert list(left_out(settings)) == [f"{V4} is not served: it needs torch, which is not installed ({SCRIPT})"]
    assert list(left_out(load_settings(models=(V3,)))) == []
    found = checks()
    assert (found["torch"].ok, found["torch"].remedy) == (True, SCRIPT)
    assert (found[f"model {V4}"].ok, found[f"model {V4}"].remedy) == (True, SCRIPT)
    assert found[f"model {V3}"].finding == "files complete"


@pytest.mark.parametrize("name", [V4, "jinaai/jina-embeddings-v4"])
@pytest.mark.parametrize("auto_pull", [True, False])
def test_without_torch_a_model_that_is_asked_for_by_name_is_an_error(
    world: TwinWorld, without_torch: None, name: str, auto_pull: bool
) -> None:
    """Told before gigabytes are fetched that could not be served."""
    with pytest.raises(ConfigurationError, match=f"{V4} cannot be served.*not installed: no_such_package") as caught:
        complete_cards(load_settings(models=(name,), auto_pull=auto_pull))
    assert caught.value.remedy == SCRIPT


def test_without_torch_the_scripts_refuse_it_and_a_pull_says_what_is_missing(
    world: TwinWorld, gateway: Gateway, without_torch: None
) -> None:
    """Whoever downloads for another machine may; whoever wants to serve here hears it before the download."""
    refused = gateway("resolve", "--to-serve", V3, V4)
    assert (refused.code, refused.out) == (1, "")
    assert f"{V4} cannot be served" in refused.err
    assert f"Remedy: {SCRIPT}" in refused.err
    assert gateway("resolve", "--to-serve", V3).code == gateway("resolve", V4).code == 0
    pulled = gateway("pull", V4)
    assert pulled.code == 0
    assert f"To be served here it needs {SCRIPT}" in pulled.err


def test_without_torch_and_without_another_model_nothing_can_be_served(
    world: TwinWorld, gateway: Gateway, without_torch: None
) -> None:
    gateway("pull", MERGED)
    with pytest.raises(ConfigurationError, match="No model can be served") as caught:
        complete_cards(load_settings())
    assert caught.value.remedy == SCRIPT
    found = checks()
    assert (found["torch"].ok, found[f"model {MERGED}"].ok) == (False, False)


def test_with_torch_they_are_models_like_the_others(world: TwinWorld, gateway: Gateway) -> None:
    gateway("pull", V4)
    settings = load_settings()
    assert [card.name for card in complete_cards(settings)] == [V4]
    assert list(left_out(settings)) == []
    found = checks()
    assert found["torch"].ok
    assert found["torch"].finding.startswith("torch 2.")
    assert found[f"memory of {V4}"].ok
    assert "memory of jina-embeddings-v3" not in found


def test_weights_that_do_not_fit_into_memory_are_told(
    world: TwinWorld, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway("pull", V4)
    card = world.card(V4)
    assert list(memory_note([card])) == []
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    (note,) = memory_note([card])
    assert "held in memory, once each" in note
    assert "GATEWAY_DTYPE=bfloat16" in note
    memory = checks()[f"memory of {V4}"]
    assert not memory.ok
    assert "GATEWAY_DTYPE=bfloat16" in (memory.remedy or "")


def test_a_type_that_overflows_is_told_where_a_model_computes_in_it(world: TwinWorld) -> None:
    graph, computed = world.card(V3), world.card(V4)
    (note,) = torch_presence.overflow_note([graph, computed], dtype="float16")
    assert note.startswith(f"{V4}: float16 can overflow")
    assert list(torch_presence.overflow_note([graph], dtype="float16")) == []
    for dtype in (None, "bfloat16", "float32"):
        assert list(torch_presence.overflow_note([graph, computed], dtype=dtype)) == []


def test_on_a_gpu_its_memory_counts_and_not_the_machines(
    world: TwinWorld, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway("pull", V4)
    for module in (torch_presence, torch_checks):
        monkeypatch.setattr(module, "computes_on_gpu", lambda: True)
    monkeypatch.setattr(sys.modules["gateway.cli.up"], "computes_on_gpu", lambda: True)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1000))
    assert list(memory_note([world.card(V4)])) == []
    for free, ok, told in ((1000, False, "free on the GPU"), (1 << 40, True, "on the GPU"), (None, True, "not known")):
        monkeypatch.setattr(torch_checks, "free_gpu_bytes", lambda free=free: free)
        memory = checks()[f"memory of {V4}"]
        assert memory.ok is ok
        assert told in memory.finding
        assert "in bfloat16" in memory.finding


@pytest.mark.triton
def test_a_real_triton_is_asked_for_the_known_text(
    world: TwinWorld, gateway: Gateway, tritonserver: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started in a folder that has a folder `triton`, as this one does, torch found no module of that name in it."""
    names = (V4, MERGED)
    for name in names:
        assert gateway("pull", name).code == 0
        assert is_complete(world.card(name))
    assert Path.cwd() == tmp_path
    triton = EmbeddedTriton(repository=world.models, run_folder=tmp_path / "triton", ports=Ports(*pick_free(3)))
    with BackgroundTriton(triton) as background:
        report = background.start(names)
        monkeypatch.setenv("TRITON_URL", report.endpoints.grpc)
        verified = gateway("verify", *names)
    assert verified.code == 0, verified.out
    assert verified.out.count("A finite value comes through Triton for the known text; none is known.") == 2
