"""Looking into a repository on the hub without fetching it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.artifacts.hub_access import HubAccess, NotOnHub
from gateway.artifacts.hub_repository import list_files, read_small
from gateway.errors import SourceUnavailable
from tests.support.local_hub import LocalHub, local_hub

REPOSITORY = "someone/model"
FILES = {"config.json": b'{"hidden_size": 8}', "onnx/model.onnx": b"graph", "onnx/model.onnx_data": b"weights"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with local_hub() as hub:
        hub.publish(REPOSITORY, FILES)
        yield hub


@pytest.mark.parametrize("revision", [None, "main", "f" * 39 + "1"])
def test_a_listing_has_the_commit_and_what_is_known_of_each_file(hub: LocalHub, revision: str | None) -> None:
    listing = list_files(REPOSITORY, revision, HubAccess(hub.url))
    assert (listing.revision, str(listing.created)) == (hub.revision, "2025-03-04")
    assert {file.path: file.size_bytes for file in listing.files} == {path: len(data) for path, data in FILES.items()}
    graph, config = listing.find("onnx/model.onnx"), listing.find("config.json")
    assert graph is not None
    assert graph.sha256 == hashlib.sha256(b"graph").hexdigest()
    assert config is not None
    assert config.sha256 is None, "git's own hash of a text file is no sha256 of its bytes"


def test_small_files_are_read_and_large_ones_refused(hub: LocalHub) -> None:
    access = HubAccess(hub.url)
    assert read_small(REPOSITORY, "main", "config.json", access) == FILES["config.json"]
    with pytest.raises(SourceUnavailable, match="too many to read"):
        read_small(REPOSITORY, "main", "config.json", access, max_bytes=4)
    assert len(hub.downloads("config.json")) == 1


def test_what_is_not_there_is_told_from_a_hub_that_is_away(hub: LocalHub) -> None:
    with pytest.raises(NotOnHub, match="no someone/other at revision main"):
        list_files("someone/other", None, HubAccess(hub.url))
    with pytest.raises(NotOnHub, match="no someone/model at revision nope"):
        list_files(REPOSITORY, "nope", HubAccess(hub.url))
    with pytest.raises(NotOnHub, match=r"no nope\.json in someone/model"):
        read_small(REPOSITORY, "main", "nope.json", HubAccess(hub.url))
    with pytest.raises(SourceUnavailable) as caught:
        list_files(REPOSITORY, None, HubAccess("http://127.0.0.1:9"))
    assert not isinstance(caught.value, NotOnHub)
    hub.token = "word"
    with pytest.raises(SourceUnavailable, match="HF_TOKEN is not set"):
        list_files(REPOSITORY, None, HubAccess(hub.url))
    assert list_files(REPOSITORY, None, HubAccess(hub.url, "word")).find("config.json")
