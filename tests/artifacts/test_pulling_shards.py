"""Pulling a model whose weights lie in several files, which only the hub's index names: jina-embeddings-v4's twin."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.artifacts import pulling
from gateway.artifacts.building import built_content
from gateway.artifacts.completeness import is_complete, missing_files
from gateway.artifacts.hub import partial_path
from gateway.artifacts.hub_access import HubFile
from gateway.artifacts.progress import SilentProgress
from gateway.artifacts.pulling import pull
from gateway.artifacts.verification import note_verified, verify
from gateway.cards.schema import Card
from gateway.errors import ArtifactError
from tests.support.twin_world import TwinWorld, files_of, installed, sha256s, twin_world

V4, MERGED = "jina-embeddings-v4", "jina-embeddings-v4-vllm-retrieval"
INDEX = "model.safetensors.index.json"
SHARDS = tuple(f"model-0000{place}-of-00002.safetensors" for place in (1, 2))
CODE = "1/model.py"

PULL = """
import sys
from pathlib import Path
from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.pulling import pull
from gateway.artifacts.sources import Fetching, SourceChoice
from gateway.cards.loading import load_card
folder, staging, url = sys.argv[1:]
pull(load_card(Path(folder)), Fetching(Path(staging), SourceChoice.HUB, HubAccess(endpoint=url, token="none")))
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwinWorld]:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with twin_world(tmp_path, V4, MERGED) as world:
        yield world


@pytest.fixture(params=[V4, MERGED])
def card(world: TwinWorld, request: pytest.FixtureRequest) -> Card:
    return world.card(request.param)


@pytest.fixture
def v4(world: TwinWorld) -> Card:
    return world.card(V4)


@pytest.fixture
def merged(world: TwinWorld) -> Card:
    return world.card(MERGED)


def listed(card: Card) -> set[str]:
    return {file.path for file in card.files}


def as_one_file(world: TwinWorld, card: Card) -> bytes:
    """Publish all weights in one file and no index, as small repositories do."""
    data = world.hub.files[card.repository, SHARDS[0]]
    for name in (INDEX, *SHARDS):
        del world.hub.files[card.repository, name]
    world.hub.publish(card.repository, {"model.safetensors": data})
    return data


def test_the_files_that_the_index_names_are_the_models_files(world: TwinWorld, card: Card) -> None:
    assert not is_complete(card)
    assert set(world.pull(card).installed) == listed(card) | {f"1/{name}" for name in SHARDS}
    assert is_complete(card)
    assert files_of(card) == listed(card) | {f"1/{name}" for name in SHARDS} | {CODE}
    assert sha256s(card).keys() == files_of(card) - {CODE}
    report = verify(card)
    assert report.ok, report.faults
    assert {finding.subject for finding in report.findings if finding.check == "weights"} >= {
        f"1/{name}" for name in (INDEX, *SHARDS)
    }


def test_no_graph_is_built_or_run(world: TwinWorld, v4: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "measure", lambda *_, **__: pytest.fail("a graph is run"))
    world.pull(v4)
    assert installed(v4).canary == ()
    assert installed(v4).batch_invariant
    with pytest.raises(ArtifactError, match="jina-embeddings-v4 has no graph to build: Triton's Python backend"):
        built_content(v4)


def test_again_asks_nobody(world: TwinWorld, card: Card) -> None:
    world.pull(card)
    before = len(world.hub.requests)
    assert world.pull(card).installed == ()
    assert len(world.hub.requests) == before


def test_reading_all_of_it_again_changes_nothing(world: TwinWorld, card: Card) -> None:
    world.pull(card)
    before = installed(card)
    assert world.pull(card, rehash=True).installed == ()
    assert installed(card) == before


@pytest.mark.parametrize("name", [INDEX, *SHARDS])
def test_a_file_that_is_missing_is_known_and_fetched(world: TwinWorld, card: Card, name: str) -> None:
    world.pull(card)
    card.path_of(f"1/{name}").unlink()
    assert [file.path for file in missing_files(card)] == [f"1/{name}"]
    assert not is_complete(card)
    assert [finding.subject for finding in verify(card).faults] == [f"1/{name}"]
    assert world.pull(card).installed == (f"1/{name}",)
    assert is_complete(card)


def test_files_that_the_card_pins_are_not_all_while_an_index_may_name_more(world: TwinWorld, v4: Card) -> None:
    """Copied here without the shards or a lock, they would count as complete by their sizes."""
    files = [(file, world.hub.files[v4.repository, file.hub_path or ""]) for file in v4.files]
    pinned = [replace(one, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest()) for one, data in files]
    for file, data in files:
        v4.path_of(file.path).parent.mkdir(exist_ok=True)
        v4.path_of(file.path).write_bytes(data)
    card = replace(v4, files=tuple(pinned))
    assert [file.path for file in missing_files(card)] == [f"1/{name}" for name in SHARDS]
    for name in SHARDS:
        card.path_of(f"1/{name}").write_bytes(b"something")
    assert not is_complete(card), "nothing says what they have to be"
    index = card.path_of(f"1/{INDEX}")
    index.write_bytes(b"x" * index.stat().st_size)
    assert not is_complete(card), "nothing says what else there has to be"
    world.pull(card, rehash=True)
    assert is_complete(card)
    assert verify(card).ok


def test_damage_is_found_by_reading_and_mended(world: TwinWorld, card: Card) -> None:
    world.pull(card)
    path = card.path_of(f"1/{SHARDS[1]}")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert is_complete(card), "by its size it is the same file"
    assert [finding.subject for finding in verify(card).faults] == [f"1/{SHARDS[1]}"]
    note_verified(card)
    assert world.pull(card, rehash=True).installed == (f"1/{SHARDS[1]}",)
    assert installed(card).verified_at is None
    assert verify(card).ok


def test_other_bytes_under_the_same_commit_are_refused(world: TwinWorld, card: Card) -> None:
    """Hash and size of a file that nobody has published are those of the first pull from then on."""
    world.pull(card)
    card.path_of(f"1/{SHARDS[0]}").unlink()
    world.hub.files[card.repository, SHARDS[0]] = world.hub.files[card.repository, SHARDS[1]]
    with pytest.raises(ArtifactError, match=r"is not the right file: .* the lock says"):
        world.pull(card)
    assert not is_complete(card)


def test_a_repository_without_an_index_has_one_file(world: TwinWorld, merged: Card) -> None:
    index = json.loads(world.hub.files[merged.repository, INDEX])
    assert index["weight_map"]
    as_one_file(world, merged)
    assert set(world.pull(merged).installed) == (listed(merged) - {f"1/{INDEX}"}) | {"1/model.safetensors"}
    assert is_complete(merged)
    assert verify(merged).ok
    asked = len(world.hub.requests)
    assert world.pull(merged).installed == ()
    assert len(world.hub.requests) == asked
    merged.path_of("1/model.safetensors").unlink()
    assert [file.path for file in missing_files(merged)] == ["1/model.safetensors"]
    assert world.pull(merged).installed == ("1/model.safetensors",)


def test_a_repository_that_came_to_have_an_index_leaves_no_old_weights(world: TwinWorld, merged: Card) -> None:
    files = {name: world.hub.files[merged.repository, name] for name in (INDEX, *SHARDS)}
    as_one_file(world, merged)
    world.pull(merged)
    del world.hub.files[merged.repository, "model.safetensors"]
    world.hub.publish(merged.repository, files)
    world.hub.revision = "e" * 40
    newer = replace(merged, revision="e" * 40)
    result = world.pull(newer)
    assert result.removed == ("1/model.safetensors",)
    assert set(result.installed) == listed(newer) | {f"1/{name}" for name in SHARDS}
    assert is_complete(newer)


def test_and_the_other_way_round(world: TwinWorld, merged: Card) -> None:
    world.pull(merged)
    as_one_file(world, merged)
    world.hub.revision = "e" * 40
    newer = replace(merged, revision="e" * 40)
    result = world.pull(newer)
    assert set(result.removed) == {f"1/{name}" for name in (INDEX, *SHARDS)}
    assert is_complete(newer)
    assert verify(newer).ok


def test_files_put_there_by_hand_serve_without_the_hub(world: TwinWorld, merged: Card) -> None:
    data = as_one_file(world, merged)
    for (repository, name), content in world.hub.files.items():
        if repository == merged.repository and name != "README.md":
            merged.path_of(f"1/{name}").parent.mkdir(exist_ok=True)
            merged.path_of(f"1/{name}").write_bytes(content)
    away = replace(world.fetching(), hub=replace(world.fetching().hub, endpoint="http://127.0.0.1:9"))
    assert not is_complete(merged)
    pull(merged, away)
    assert is_complete(merged)
    assert installed(merged).files["1/model.safetensors"].size_bytes == len(data)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "../../../model.safetensors", "x/model.safetensors"])
def test_an_index_that_names_anything_else_is_refused_and_nothing_more_is_fetched(
    world: TwinWorld, card: Card, name: str
) -> None:
    index = json.loads(world.hub.files[card.repository, INDEX])
    index["weight_map"]["more"] = name
    world.hub.publish(card.repository, {INDEX: json.dumps(index).encode(), name: b"\x80\x04."})
    with pytest.raises(ArtifactError, match=f"1/{INDEX} of {card.name} is refused"):
        world.pull(card)
    assert files_of(card) == {CODE}
    assert {request.path.rpartition("/")[2] for request in world.hub.requests} == {INDEX}


def test_an_index_of_gigabytes_is_refused_before_it_is_fetched(
    world: TwinWorld, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.artifacts.shards.MAX_INDEX_BYTES", 100)
    with pytest.raises(ArtifactError, match="at most 100 are read"):
        world.pull(card)
    assert {request.method for request in world.hub.requests} == {"HEAD"}


def test_what_is_no_safetensors_file_never_gets_its_name(world: TwinWorld, card: Card) -> None:
    world.hub.publish(card.repository, {SHARDS[1]: b"\x80\x04\x95 a pickle, say"})
    with pytest.raises(ArtifactError, match=f"1/{SHARDS[1]} of {card.name} is refused: it is no whole safetensors"):
        world.pull(card)
    assert f"1/{SHARDS[1]}" not in files_of(card)
    assert not is_complete(card)


def test_files_that_do_not_hold_what_the_index_says_are_not_installed(world: TwinWorld, card: Card) -> None:
    world.hub.publish(card.repository, {SHARDS[1]: world.hub.files[card.repository, SHARDS[0]]})
    with pytest.raises(ArtifactError, match=r"lacks .* of the tensors"):
        world.pull(card)
    assert not is_complete(card)


def test_a_disk_that_is_too_small_is_told_before_anything_large_is_fetched(
    world: TwinWorld, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = sum(len(data) for (owner, _), data in world.hub.files.items() if owner == card.repository)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=total // 2))
    with pytest.raises(ArtifactError, match=f"{card.name} needs 0.0 GB more on the disk of {card.folder}, which has"):
        world.pull(card)
    assert not [request for request in world.hub.requests if request.method == "GET" and SHARDS[0] in request.path]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=total))
    world.pull(card)
    assert is_complete(card)


class Told(SilentProgress):
    """What a pull says of itself, and how many bytes it counted."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.counted = 0

    def expect(self, labels: Sequence[str], *, total_bytes: int | None = None) -> None:
        self.total, self.counted = total_bytes, 0

    def begin(self, label: str, *, total_bytes: int | None, done_bytes: int = 0) -> None:
        self.counted += done_bytes

    def advance(self, byte_count: int) -> None:
        self.counted += byte_count


def test_progress_is_over_the_whole_download(world: TwinWorld, card: Card) -> None:
    told = Told()
    pull(card, replace(world.fetching(), progress=told))
    sizes = {path: entry.size_bytes for path, entry in installed(card).files.items()}
    assert told.total == told.counted == sum(sizes.values()) - sizes[f"1/{INDEX}"]


def test_what_an_earlier_run_has_left_counts_as_done(
    world: TwinWorld, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = world.hub.files[card.repository, SHARDS[1]][:50_000]
    asked = HubFile(card.repository, world.hub.revision, SHARDS[1])
    world.staging.mkdir()
    partial_path(asked, world.staging).write_bytes(half)
    # Room for the rest, and for no byte more than that.
    index = len(world.hub.files[card.repository, INDEX])
    wanted = sum(len(world.hub.files[card.repository, file.hub_path or ""]) for file in card.files) - index
    wanted += sum(len(world.hub.files[card.repository, name]) for name in SHARDS)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=wanted - len(half)))
    told = Told()
    pull(card, replace(world.fetching(), progress=told))
    assert told.total == told.counted == wanted
    assert [request.range for request in world.hub.downloads(SHARDS[1])] == [f"bytes={len(half)}-"]
    assert is_complete(card)


@pytest.mark.parametrize("killed_in", [INDEX, *SHARDS])
def test_a_pull_that_is_killed_leaves_nothing_that_counts_and_is_gone_on_with(
    world: TwinWorld, v4: Card, killed_in: str
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def pause(path: str, sent: int) -> None:
        if path == killed_in and not reached.is_set():
            reached.set()
            go_on.wait(30)

    world.hub.pause = pause  # type: ignore[method-assign]
    command = [sys.executable, "-c", PULL, str(v4.folder), str(world.staging), world.hub.url]
    process = subprocess.Popen(command)
    assert reached.wait(60)
    process.kill()
    process.wait()
    go_on.set()
    assert not is_complete(v4)
    assert missing_files(v4)
    before = {path: entry.sha256 for path, entry in {**installed(v4).spare, **installed(v4).files}.items()}
    world.pull(v4)
    assert is_complete(v4)
    assert verify(v4).ok
    assert before.items() <= sha256s(v4).items()


@pytest.mark.parametrize("token", [None, "another"])
def test_a_gated_repository_names_the_token_and_the_page(world: TwinWorld, merged: Card, token: str | None) -> None:
    world.hub.token = "the right one"
    hub = replace(world.fetching().hub, token=token)
    with pytest.raises(ArtifactError, match="is gated, private or does not exist") as caught:
        pull(merged, replace(world.fetching(), hub=hub))
    remedy = caught.value.remedy or ""
    assert "HF_TOKEN" in remedy
    assert f"{world.hub.url}/{merged.repository}" in remedy
    assert "another" not in caught.value.message
    assert world.pull(merged).installed


@pytest.mark.parametrize("status", [401, 403])
def test_a_file_that_is_refused_is_told_in_the_same_way(world: TwinWorld, v4: Card, status: int) -> None:
    world.hub.statuses[INDEX] = status
    with pytest.raises(ArtifactError) as caught:
        world.pull(v4)
    assert "HF_TOKEN" in (caught.value.remedy or "")
    assert not is_complete(v4)
