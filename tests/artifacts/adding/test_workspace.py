"""The model folder in the making: taken up again, put in place whole, copied where the disks differ."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.artifacts.adding.workspace import INCOMING, Workspace, workspace
from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.hub_repository import list_files
from gateway.artifacts.placing import Content
from gateway.artifacts.sources import Fetching
from gateway.errors import ArtifactError
from tests.support.local_hub import LocalHub, local_hub

REPOSITORY = "acme/model"
GRAPH = b"graph" * 1000


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with local_hub() as hub:
        hub.publish(REPOSITORY, {"onnx/model.onnx": GRAPH, "tokenizer.json": b"{}", "big.bin": b"big"})
        yield hub


@pytest.fixture
def work(hub: LocalHub, tmp_path: Path) -> Iterator[Workspace]:
    fetching = Fetching(tmp_path / "staging", hub=HubAccess(hub.url))
    with workspace("model", list_files(REPOSITORY, None, fetching.hub), fetching) as work:
        yield work


def test_what_is_fetched_is_recorded_and_pinned(work: Workspace) -> None:
    file = work.fetch("onnx/model.onnx", "model.onnx")
    assert file.read_bytes() == GRAPH
    assert file == work.folder / "1" / "model.onnx"
    entry = work.locked["1/model.onnx"]
    assert (entry.source, entry.size_bytes, entry.sha256) == ("hub", len(GRAPH), hashlib.sha256(GRAPH).hexdigest())
    pins = work.pins({"1/model.onnx": "onnx/model.onnx", "1/big.bin": "big.bin", "1/tokenizer.json": "tokenizer.json"})
    assert pins["1/big.bin"] == Content(3, hashlib.sha256(b"big").hexdigest())
    assert "1/tokenizer.json" not in pins, "the hub does not say the sha256 of a small file"


def test_a_whole_file_of_an_earlier_run_is_taken_and_a_wrong_one_fetched_anew(hub: LocalHub, work: Workspace) -> None:
    for content, downloads in ((GRAPH, 0), (GRAPH[::-1], 1)):
        work.locked.clear()
        (work.folder / "1").mkdir(parents=True, exist_ok=True)
        (work.folder / "1" / "model.onnx").write_bytes(content)
        assert work.fetch("onnx/model.onnx", "model.onnx").read_bytes() == GRAPH
        assert len(hub.downloads("onnx/model.onnx")) == downloads


def test_a_link_planted_where_a_file_will_lie_is_replaced(work: Workspace, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("untouched")
    (work.folder / "1").mkdir(parents=True)
    (work.folder / "1" / "model.onnx").symlink_to(secret)
    assert not work.fetch("onnx/model.onnx", "model.onnx").is_symlink()
    assert secret.read_text() == "untouched"


def test_it_is_put_in_place_by_one_move_and_leaves_nothing(work: Workspace, tmp_path: Path) -> None:
    work.write("card.toml", "x")
    work.publish(tmp_path / "models-model")
    assert (tmp_path / "models-model" / "card.toml").read_text() == "x"
    assert not work.folder.parent.exists()


def test_between_two_disks_it_is_copied_beside_the_target_first(
    work: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    work.write("card.toml", "x")
    rename, moves = Path.rename, []

    def refuse_across(self: Path, target: Path) -> Path:
        moves.append(self)
        if work.folder in (self, *self.parents):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        assert not list(models.glob("*/card.toml")), "half a model was in sight"
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_across)
    work.publish(models / "model")
    assert moves == [work.folder, models / INCOMING / "model"]
    assert sorted(path.name for path in models.iterdir()) == ["model"]
    assert not work.folder.exists()


def test_a_target_that_is_taken_is_told_and_left_alone(work: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.mkdir()
    (target / "mine").write_text("mine")
    work.write("card.toml", "x")
    with pytest.raises(ArtifactError, match="cannot be put into"):
        work.publish(target)
    assert [path.name for path in target.iterdir()] == ["mine"]
    assert (work.folder / "card.toml").exists()
