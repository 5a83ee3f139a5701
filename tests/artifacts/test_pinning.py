"""What is pinned and what is resolved, written down and enforced from then on; without a hub; with a faulty one."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.artifacts.completeness import is_complete, missing_files
from gateway.artifacts.graphs import pooling_nodes
from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.pulling import is_settled, pull
from gateway.artifacts.sources import Fetching
from gateway.artifacts.verification import note_verified, verify
from gateway.cards.installation import LOCK_FILE
from gateway.cards.rendering import config_path, render_config
from gateway.cards.schema import Card
from gateway.errors import ArtifactError
from tests.support.twin_world import TwinWorld, files_of, installed, sha256s, twin_world

# A member whose card states neither revision nor hashes, and one whose card states both.
OPEN = "jina-embeddings-v5-text-nano-text-matching"
PINNED = "jina-embeddings-v5-text-nano-retrieval"
NOWHERE = "http://127.0.0.1:9"
DATA = "1/model.onnx_data"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwinWorld]:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    with twin_world(tmp_path, "jina-embeddings-v5-text-nano") as world:
        yield world


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def flipped(data: bytes) -> bytes:
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def flip(card: Card, path: str) -> tuple[str, str]:
    """Change one bit on disk; returns the right hash and the wrong one."""
    right = card.path_of(path).read_bytes()
    card.path_of(path).write_bytes(flipped(right))
    return sha256(right), sha256(flipped(right))


def publish(world: TwinWorld, card: Card, path: str, data: bytes) -> None:
    world.hub.publish(card.repository, {path: data})


def test_an_open_revision_is_resolved_once_and_written_down(world: TwinWorld) -> None:
    card = world.card(OPEN)
    assert card.revision is None
    world.pull(card)
    lock = json.loads(card.path_of(LOCK_FILE).read_text(encoding="utf-8"))
    assert (lock["repository"], lock["revision"], lock["variant"]) == (card.repository, world.hub.revision, "fp32")
    assert lock["spare"] == []
    entries = {entry["path"]: entry for entry in lock["files"]}
    assert entries.keys() == files_of(card)
    for path, entry in entries.items():
        data = card.path_of(path).read_bytes()
        assert (entry["sha256"], entry["size_bytes"]) == (sha256(data), len(data))
        if path != "1/serving.onnx":
            assert (entry["source"], entry["revision"]) == ("hub", world.hub.revision)
    asked = {
        request.path.split("/resolve/")[1].split("/")[0] for request in world.hub.requests if request.method == "GET"
    }
    assert asked == {world.hub.revision}, "everything is fetched from one commit, not from a branch that may move"


def test_a_branch_that_moved_is_not_followed(world: TwinWorld) -> None:
    card = world.card(OPEN)
    world.pull(card)
    before = sha256s(card)
    world.hub.revision = "e" * 40
    publish(world, card, "onnx/model.onnx_data", flipped(card.path_of(DATA).read_bytes()))
    assert world.pull(card).installed == ()
    card.path_of(DATA).unlink()
    with pytest.raises(ArtifactError, match=f"at revision {'f' * 39}1"):
        world.pull(card)
    world.hub.revision = "f" * 39 + "1"
    publish(world, card, "onnx/model.onnx_data", world.twin(card).files["onnx/model.onnx_data"])
    world.pull(card)
    assert sha256s(card) == before


@pytest.mark.parametrize("path", [DATA, "1/tokenizer.json"])
def test_other_bytes_of_the_same_commit_are_refused_with_both_hashes(world: TwinWorld, path: str) -> None:
    card = world.card(OPEN)
    world.pull(card)
    right = card.path_of(path).read_bytes()
    card.path_of(path).unlink()
    hub_path = {DATA: "onnx/model.onnx_data"}.get(path, "tokenizer.json")
    publish(world, card, hub_path, flipped(right))
    with pytest.raises(ArtifactError) as caught:
        world.pull(card)
    for part in (path, sha256(right), sha256(flipped(right)), "the lock says"):
        assert part in caught.value.message
    assert not card.path_of(path).exists()
    assert not is_complete(card)
    publish(world, card, hub_path, right)
    world.pull(card)
    assert verify(card).faults == ()


@pytest.mark.parametrize("name", [OPEN, PINNED])
@pytest.mark.parametrize("path", [DATA, "1/model.onnx", "1/serving.onnx", "1/tokenizer.json"])
def test_a_flipped_byte_is_found_named_with_both_hashes_and_mended(world: TwinWorld, name: str, path: str) -> None:
    card = world.card(name)
    world.pull(card)
    right, wrong = flip(card, path)
    (fault,) = verify(card).faults
    assert (fault.check, fault.subject) == ("file", path)
    assert right in fault.detail
    assert wrong in fault.detail
    assert fault.remedy == f"gateway models pull {name} --verify"
    assert path in world.pull(card, rehash=True).installed
    assert sha256(card.path_of(path).read_bytes()) == right
    assert verify(card).faults == ()


def test_a_pinned_hash_is_refused_before_gigabytes_are_fetched(world: TwinWorld) -> None:
    card = world.card(PINNED)
    right = world.twin(card).files["onnx/model.onnx_data"]
    publish(world, card, "onnx/model.onnx_data", flipped(right))
    with pytest.raises(ArtifactError) as caught:
        world.pull(card)
    for part in (DATA, sha256(right), sha256(flipped(right)), "the card says"):
        assert part in caught.value.message
    assert world.hub.downloads("model.onnx_data") == []
    assert not is_complete(card)


def test_wrong_bytes_behind_a_right_listing_are_refused(world: TwinWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub says one hash and sends something else."""
    card = world.card(OPEN)
    right = world.twin(card).files["onnx/model.onnx_data"]
    monkeypatch.setattr(
        "tests.support.local_hub.etag_of", lambda path, data: sha256(right) if "data" in path else "0" * 40
    )
    publish(world, card, "onnx/model.onnx_data", flipped(right))
    with pytest.raises(ArtifactError) as caught:
        world.pull(card)
    for part in (DATA, sha256(right), sha256(flipped(right)), "its listing says"):
        assert part in caught.value.message
    assert not card.path_of(DATA).exists()
    assert not is_complete(card)


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_offline_everything_works_that_is_there(world: TwinWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    card = world.card(OPEN)
    world.pull(card)
    world.hub.requests.clear()
    offline(monkeypatch)
    assert world.pull(card).installed == ()
    assert verify(card).faults == ()
    card.path_of("1/serving.onnx").unlink()
    assert world.pull(card).installed == ("1/serving.onnx",), "what is built here needs no hub"
    assert world.hub.requests == []


@pytest.mark.parametrize("name", [OPEN, PINNED])
def test_offline_what_is_not_there_is_told_so(world: TwinWorld, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    offline(monkeypatch)
    with pytest.raises(ArtifactError, match="HF_HUB_OFFLINE is set") as caught:
        world.pull(world.card(name))
    assert "Unset HF_HUB_OFFLINE" in (caught.value.remedy or "")


@pytest.mark.parametrize("name", [OPEN, PINNED])
def test_files_brought_by_hand_are_installed_without_a_hub(world: TwinWorld, name: str) -> None:
    """As on a machine that reaches none: copied there, then built, measured and locked."""
    card = world.card(name)
    for file in card.files_of(None):
        if file.hub_path is not None:
            card.path_of(file.path).parent.mkdir(exist_ok=True)
            card.path_of(file.path).write_bytes(world.twin(card).files[file.hub_path])
    assert not is_complete(card), "nothing has proved them yet"
    result = pull(card, Fetching(world.staging, hub=HubAccess(NOWHERE, "no")))
    assert result.installed == ("1/serving.onnx",)
    assert {entry.source for path, entry in installed(card).files.items() if path != "1/serving.onnx"} == {"found"}
    assert verify(card).faults == ()
    assert is_settled(card)


def test_files_that_a_lock_does_not_vouch_for_are_compared_with_the_hub(world: TwinWorld) -> None:
    """What lies there beside a lock may be left over from another commit."""
    card = world.card(OPEN)
    world.pull(card)
    lock = json.loads(card.path_of(LOCK_FILE).read_text(encoding="utf-8"))
    lock["files"] = [entry for entry in lock["files"] if entry["path"] not in (DATA, "1/serving.onnx")]
    lock["spare"], lock["files"] = lock["files"], []
    card.path_of(LOCK_FILE).write_text(json.dumps(lock), encoding="utf-8")
    assert not is_complete(card)
    flip(card, DATA)
    assert DATA in world.pull(card).installed
    assert verify(card).faults == ()


def test_a_new_commit_in_the_card_brings_all_that_it_does_not_pin_anew(world: TwinWorld) -> None:
    card = world.card(OPEN)
    world.pull(card)
    world.hub.revision = "d" * 40
    newer = replace(card, revision="d" * 40)
    assert not is_complete(newer)
    assert "1/model.onnx" in [file.path for file in missing_files(newer)]
    publish(world, card, "onnx/model.onnx_data", flipped(card.path_of(DATA).read_bytes()))
    assert DATA in world.pull(newer).installed
    assert installed(newer).revision == "d" * 40
    assert {entry.revision for path, entry in installed(newer).files.items() if path != "1/serving.onnx"} == {"d" * 40}
    assert verify(newer).faults == ()


def test_another_repository_in_the_card_brings_everything_anew(world: TwinWorld) -> None:
    card, other = world.card(OPEN), world.card("jina-embeddings-v5-text-nano-clustering")
    world.pull(card)
    before = installed(card)
    moved = replace(card, repository=other.repository)
    assert not is_complete(moved)
    assert DATA in world.pull(moved).installed
    assert installed(moved).repository == other.repository
    assert installed(moved).canary != before.canary
    assert is_complete(moved)


def test_a_card_that_pools_otherwise_needs_another_serving_graph(world: TwinWorld) -> None:
    card = world.card(OPEN)
    world.pull(card)
    changed = replace(card, vectors=replace(card.embedding, pooling="mean"))
    assert [file.path for file in missing_files(changed)] == ["1/serving.onnx"]
    before = installed(card).canary
    assert world.pull(changed).installed == ("1/serving.onnx",)
    assert installed(changed).canary != before


def test_a_serving_graph_that_pools_wrongly_is_not_installed(world: TwinWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first token of a row in place of its last."""
    card = world.card(OPEN)
    monkeypatch.setitem(pooling_nodes.POOLINGS, "last_token", pooling_nodes.cls)  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match="its pooled_embedding is off by"):
        world.pull(card)
    assert "1/serving.onnx" not in files_of(card)
    assert not is_complete(card)
    monkeypatch.undo()
    world.pull(card)
    assert verify(card).faults == ()


def test_a_dropped_connection_and_a_404_leave_nothing_that_counts(world: TwinWorld) -> None:
    card = world.card(OPEN)
    world.hub.cut_after["onnx/model.onnx_data"] = [1000] * 8
    with pytest.raises(ArtifactError, match=r"1/model\.onnx_data could not be fetched"):
        world.pull(card)
    assert not is_complete(card)
    world.hub.cut_after.clear()
    world.hub.statuses["onnx/model.onnx_data"] = 404
    with pytest.raises(ArtifactError, match=r"has no onnx/model\.onnx_data"):
        world.pull(card)
    assert not is_complete(card)
    world.hub.statuses.clear()
    world.pull(card)
    assert verify(card).faults == ()


def test_a_gated_repository_says_what_to_do(world: TwinWorld) -> None:
    card = world.card(OPEN)
    world.hub.token = "word"
    with pytest.raises(ArtifactError, match="gated") as caught:
        pull(card, Fetching(world.staging, hub=HubAccess(world.hub.url, "wrong")))
    assert "HF_TOKEN" in (caught.value.remedy or "")
    world.pull(card)
    assert is_complete(card)


def test_what_was_proved_is_noted_until_something_changes(world: TwinWorld) -> None:
    card = world.card(OPEN)
    world.pull(card)
    assert installed(card).verified_at is None
    note_verified(card, replace(installed(card), variant="fp16"))
    assert installed(card).verified_at is None, "another one was proved than is installed now"
    note_verified(card, installed(card))
    noted = installed(card)
    assert (noted.verified_at or "").endswith("+00:00")
    assert world.pull(card).installed == ()
    assert installed(card) == noted
    world.pull(card, variant="fp16")
    assert installed(card).verified_at is None


def test_an_installation_under_way_is_told(world: TwinWorld) -> None:
    """All files are right, and the lock does not say that they belong together."""
    card = world.card(PINNED)
    world.pull(card)
    lock = json.loads(card.path_of(LOCK_FILE).read_text(encoding="utf-8"))
    lock["spare"], lock["files"] = lock["files"], []
    card.path_of(LOCK_FILE).write_text(json.dumps(lock), encoding="utf-8")
    config_path(card).write_text(render_config(card), encoding="utf-8")
    (fault,) = verify(card).faults
    assert (fault.check, fault.remedy) == ("lock", f"gateway models pull {PINNED}")
    assert "has not come to its end" in fault.detail
    assert world.pull(card).installed == ("1/serving.onnx",)
    assert verify(card).faults == ()


def test_a_lock_from_elsewhere_deletes_nothing_outside(world: TwinWorld, tmp_path: Path) -> None:
    card = world.card(OPEN)
    world.pull(card)
    (tmp_path / "precious").write_text("keep", encoding="utf-8")
    lock = json.loads(card.path_of(LOCK_FILE).read_text(encoding="utf-8"))
    for path in (str(tmp_path / "precious"), "../../precious"):
        lock["spare"].append({**lock["files"][0], "path": path})
    card.path_of(LOCK_FILE).write_text(json.dumps(lock), encoding="utf-8")
    assert not is_settled(card)
    assert world.pull(card).removed == ()
    assert (tmp_path / "precious").exists()
    assert is_settled(card)


def test_a_slow_hub_is_waited_for(world: TwinWorld) -> None:
    card = world.card(OPEN)
    world.hub.pause = lambda path, sent: time.sleep(0.05)  # type: ignore[method-assign]
    world.pull(card)
    assert verify(card).faults == ()
