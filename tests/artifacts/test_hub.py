"""Downloads through the real huggingface_hub client from a hub on loopback, with every fault that a hub can have."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from gateway.artifacts.hub import fetch_from_hub
from gateway.artifacts.hub_access import HubAccess, HubFile
from gateway.artifacts.placing import Content, Expected
from gateway.artifacts.progress import Progress, SilentProgress
from gateway.errors import ArtifactError, ConfigurationError, SourceUnavailable
from tests.support.local_hub import LocalHub, local_hub

REPOSITORY = "someone/model"
# The client hands data on in blocks of 10 MiB, so a download that is to break off in its middle has to be larger.
BIG = np.random.default_rng(0).bytes(25 * 1024 * 1024)
SMALL = b'{"version": "1.0"}'


@dataclass
class Recorded:
    begun: list[tuple[str, int | None, int]] = field(default_factory=list)
    byte_count: int = 0
    ended: int = 0

    def expect(self, labels: Sequence[str]) -> None: ...

    def step(self, what: str) -> None: ...

    def begin(self, label: str, *, total_bytes: int | None, done_bytes: int = 0) -> None:
        self.begun.append((label, total_bytes, done_bytes))

    def advance(self, byte_count: int) -> None:
        self.byte_count += byte_count

    def end(self) -> None:
        self.ended += 1


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with local_hub() as hub:
        hub.publish(REPOSITORY, {"model.bin": BIG, "onnx/tokenizer.json": SMALL})
        yield hub


@pytest.fixture(autouse=True)
def no_stored_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)


def fetch(
    hub: LocalHub,
    folder: Path,
    path: str = "model.bin",
    *,
    sha256: str | None = None,
    token: str | None = None,
    progress: Progress | None = None,
) -> Content:
    data = hub.files[REPOSITORY, path]
    return fetch_from_hub(
        HubFile(REPOSITORY, hub.revision, path),
        folder / "final" / Path(path).name,
        Expected(path, len(data), sha256 or hashlib.sha256(data).hexdigest()),
        access=HubAccess(endpoint=hub.url, token=token),
        staging=folder / "staging",
        progress=progress or SilentProgress(),
    )


def final_files(folder: Path) -> list[str]:
    return sorted(item.name for item in (folder / "final").iterdir()) if (folder / "final").exists() else []


def test_a_file_arrives_and_its_bytes_are_counted(hub: LocalHub, tmp_path: Path) -> None:
    progress = Recorded()
    content = fetch(hub, tmp_path, progress=progress)
    assert (tmp_path / "final" / "model.bin").read_bytes() == BIG
    assert content.sha256 == hashlib.sha256(BIG).hexdigest()
    assert progress == Recorded([("model.bin", len(BIG), 0)], len(BIG), 1)
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_path_with_folders_arrives(hub: LocalHub, tmp_path: Path) -> None:
    fetch(hub, tmp_path, "onnx/tokenizer.json")
    assert (tmp_path / "final" / "tokenizer.json").read_bytes() == SMALL


def test_a_dropped_connection_is_taken_up_where_it_broke(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    hub.cut_after["model.bin"] = [21 * 1024 * 1024]
    progress = Recorded()
    fetch(hub, tmp_path, progress=progress)
    assert (tmp_path / "final" / "model.bin").read_bytes() == BIG
    assert [request.range for request in hub.downloads("model.bin")] == [None, f"bytes={20 * 1024 * 1024}-"]
    assert progress.byte_count == len(BIG)


def test_what_an_earlier_run_left_is_not_fetched_again(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    # One cut in the middle, then the hub is as good as dead: every further try is dropped at once.
    hub.cut_after["model.bin"] = [21 * 1024 * 1024, 0, 0, 0, 0, 0, 0, 0]
    with pytest.raises(SourceUnavailable):
        fetch(hub, tmp_path)
    assert final_files(tmp_path) == []
    hub.cut_after.clear()
    hub.requests.clear()
    progress = Recorded()
    fetch(hub, tmp_path, progress=progress)
    assert [request.range for request in hub.downloads("model.bin")] == [f"bytes={20 * 1024 * 1024}-"]
    assert progress.begun == [("model.bin", len(BIG), 20 * 1024 * 1024)]
    assert (tmp_path / "final" / "model.bin").read_bytes() == BIG


def test_a_hub_that_knows_no_ranges_sends_the_whole_file(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    hub.cut_after["model.bin"] = [21 * 1024 * 1024]
    hub.ignore_ranges = True
    fetch(hub, tmp_path)
    assert (tmp_path / "final" / "model.bin").read_bytes() == BIG


def test_wrong_bytes_are_refused_with_both_hashes_and_not_kept(hub: LocalHub, tmp_path: Path) -> None:
    right = hashlib.sha256(b"what the card says").hexdigest()
    with pytest.raises(ArtifactError) as caught:
        fetch(hub, tmp_path, "onnx/tokenizer.json", sha256=right)
    assert not isinstance(caught.value, SourceUnavailable)
    for part in ("onnx/tokenizer.json", right, hashlib.sha256(SMALL).hexdigest()):
        assert part in caught.value.message
    assert final_files(tmp_path) == []
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_gated_repository_asks_for_the_token(hub: LocalHub, tmp_path: Path) -> None:
    hub.token = "secret-word"
    with pytest.raises(SourceUnavailable) as caught:
        fetch(hub, tmp_path)
    assert "HF_TOKEN is not set" in caught.value.message
    assert "HF_TOKEN" in (caught.value.remedy or "")
    with pytest.raises(SourceUnavailable, match="has no access") as caught:
        fetch(hub, tmp_path, token="another-word")
    assert "another-word" not in caught.value.message + (caught.value.remedy or "")
    fetch(hub, tmp_path, token="secret-word")
    assert final_files(tmp_path) == ["model.bin"]


def test_the_token_is_not_sent_to_the_storage_host(hub: LocalHub, tmp_path: Path) -> None:
    with local_hub(files=hub.files) as storage:
        hub.redirect_to = storage.url
        fetch(hub, tmp_path, token="secret-word")
        assert hub.requests[0].authorization == "Bearer secret-word"
        assert storage.downloads("model.bin")
        assert {request.authorization for request in storage.requests} == {None}


@pytest.mark.parametrize(
    ("status", "says"), [(404, "has no model.bin in someone/model at revision"), (500, "answered 500")]
)
def test_a_refusal_is_told(hub: LocalHub, tmp_path: Path, status: int, says: str) -> None:
    hub.statuses["model.bin"] = status
    with pytest.raises(SourceUnavailable, match=says):
        fetch(hub, tmp_path)


def test_an_unknown_revision_is_told(hub: LocalHub, tmp_path: Path) -> None:
    file = HubFile(REPOSITORY, "0" * 40, "model.bin")
    with pytest.raises(SourceUnavailable, match="at revision 0000"):
        fetch_from_hub(
            file,
            tmp_path / "model.bin",
            Expected("model.bin"),
            access=HubAccess(endpoint=hub.url),
            staging=tmp_path,
            progress=SilentProgress(),
        )


def test_a_hub_that_is_not_there_is_told(hub: LocalHub, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    hub.url = f"http://127.0.0.1:{port}"
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        fetch(hub, tmp_path)


def test_a_hub_that_never_answers_is_given_up(hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.artifacts.hub_access.REACH_SECONDS", 0.3)
    hub.hold = threading.Event()
    started = time.monotonic()
    with pytest.raises(SourceUnavailable):
        fetch(hub, tmp_path)
    # A deadline against hanging, far from the 0.3 s asked for.
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("endpoint", ["hub.example.com", "ftp://hub", "http://", "http://hub:port"])
def test_an_endpoint_that_is_no_address_is_a_fault_of_the_setting(tmp_path: Path, endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="HF_ENDPOINT"):
        fetch_from_hub(
            HubFile(REPOSITORY, "main", "model.bin"),
            tmp_path / "model.bin",
            Expected("model.bin"),
            access=HubAccess(endpoint=endpoint),
            staging=tmp_path,
            progress=SilentProgress(),
        )
