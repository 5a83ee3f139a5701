"""What models of the Python backend need is known without importing any of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from gateway.artifacts.safetensors_header import read_tensors
from gateway.cards.schema import Card
from gateway.cli import torch_presence
from gateway.cli.torch_presence import can_run, computes_on_gpu, free_gpu_bytes, missing_packages, weight_bytes, why_not
from tests.support.twin_world import TwinWorld, twin_world

V4, MERGED, V3 = "jina-embeddings-v4", "jina-embeddings-v4-vllm-code", "jina-embeddings-v3"

LOOK = """
import sys
from pathlib import Path
from gateway.cli.health_checks import all_checks
from gateway.cli.up import complete_cards, left_out, memory_note
from gateway.settings import load_settings
settings = load_settings(model_repository=Path(sys.argv[1]))
cards = complete_cards(settings)
assert [card.name for card in cards] == ["jina-embeddings-v4"], cards
found = {check.name: check.finding for check in all_checks(settings)}
assert found["torch"].startswith("torch "), found
assert "GB" in found["memory of jina-embeddings-v4"]
list(left_out(settings)), list(memory_note(cards))
print(sorted({"torch", "transformers"} & set(sys.modules)))
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwinWorld]:
    with twin_world(tmp_path, V4, MERGED, V3) as world:
        yield world


@pytest.fixture
def v4(world: TwinWorld) -> Card:
    card = world.card(V4)
    world.pull(card)
    return card


def on_gpu(monkeypatch: pytest.MonkeyPatch, folder: Path, *, build: bool = True, device: bool = True) -> None:
    folder.mkdir()
    if device:
        (folder / "nvidia0").touch()
    monkeypatch.setattr(torch_presence, "DEVICES", folder)
    monkeypatch.setattr(torch_presence, "torch_computes_on_gpus", lambda: build)


def test_what_is_installed_here_is_enough(world: TwinWorld) -> None:
    assert missing_packages() == ()
    assert can_run(world.card(V4))


def test_a_graph_runs_without_torch_and_code_does_not(world: TwinWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_presence, "PACKAGES", ("torch", "no_such_package"))
    assert missing_packages() == ("no_such_package",)
    assert can_run(world.card(V3))
    assert not can_run(world.card(V4))
    assert why_not(world.card(V4)).endswith("not installed: no_such_package.")


def test_doctor_and_up_import_no_torch(v4: Card) -> None:
    """It takes seconds, which everybody would wait for."""
    command = [sys.executable, "-c", LOOK, str(v4.folder.parent)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.stdout.strip() == "[]", answer.stderr


@pytest.mark.parametrize(("build", "device", "there"), [(True, True, True), (True, False, False), (False, True, False)])
def test_a_gpu_takes_a_device_and_a_build_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, build: bool, device: bool, there: bool
) -> None:
    on_gpu(monkeypatch, tmp_path / "dev", build=build, device=device)
    assert computes_on_gpu() is there


def test_weights_take_what_their_numbers_take_in_the_type_that_is_computed_in(
    v4: Card, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paths = sorted(v4.path_of("1").rglob("*.safetensors"))
    numbers = sum(int(np.prod(one.shape)) for path in paths for one in read_tensors(path).values())
    # Two shards and the adapters', which come in float32.
    assert len(paths) == 3
    assert {one.data_type for path in paths for one in read_tensors(path).values()} == {"BF16", "F32"}
    on_gpu(monkeypatch, tmp_path / "dev", device=False)
    assert weight_bytes(v4, dtype=None) == weight_bytes(v4, dtype="float32") == 4 * numbers
    assert weight_bytes(v4, dtype="bfloat16") == weight_bytes(v4, dtype="float16") == 2 * numbers
    (tmp_path / "dev" / "nvidia0").touch()
    assert weight_bytes(v4, dtype=None) == 2 * numbers


def test_a_graphs_files_lie_in_memory_as_they_are(world: TwinWorld) -> None:
    card = world.card(V3)
    assert weight_bytes(card, dtype=None) == 0
    world.pull(card)
    size = sum(path.stat().st_size for path in card.path_of("1").iterdir() if not path.name.startswith((".", "files")))
    assert weight_bytes(card, dtype="float32") == size


def test_weights_that_cannot_be_read_count_for_nothing(v4: Card, tmp_path: Path) -> None:
    before = weight_bytes(v4, dtype="float32")
    path = v4.path_of("1/adapters/adapter_model.safetensors")
    save_file({"a": np.zeros(1, dtype=np.float32)}, tmp_path / "one")
    path.write_bytes((tmp_path / "one").read_bytes()[:-1])
    assert 0 < weight_bytes(v4, dtype="float32") < before


@pytest.mark.parametrize(
    ("program", "free"),
    [
        ("echo 40000\necho 3", 40000 << 20),
        ("echo '[N/A]'", None),
        ("true", None),
        ("echo 40000; exit 9", None),
    ],
)
def test_the_driver_is_asked_for_free_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, free: int | None
) -> None:
    script = tmp_path / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n{program}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert free_gpu_bytes() == free


def test_a_driver_that_is_not_there_or_hangs_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert free_gpu_bytes() is None
    script = tmp_path / "nvidia-smi"
    script.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(torch_presence, "ASK_SECONDS", 0.2)
    assert free_gpu_bytes() is None
