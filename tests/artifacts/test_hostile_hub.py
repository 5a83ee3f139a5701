"""A hub that means harm: answers without end or of any form, paths that lead elsewhere, redirects to catch a token."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.artifacts import hub as downloads
from gateway.artifacts import hub_repository
from gateway.artifacts.hub import HubMetadata, fetch_from_hub, file_metadata, read_from_hub
from gateway.artifacts.hub_access import HubAccess, HubFile, hub_faults
from gateway.artifacts.hub_repository import is_plain_path, list_files
from gateway.artifacts.placing import Expected
from gateway.artifacts.progress import SilentProgress
from gateway.errors import ArtifactError, SourceUnavailable
from tests.support.local_hub import LocalHub, local_hub

REPOSITORY = "someone/model"
FILE = HubFile(REPOSITORY, "main", "model.onnx")
ESCAPING = (
    "../model.onnx", "/etc/model.onnx", "a/../../model.onnx", "a\\..\\model.onnx", "C:model.onnx", "a/./model.onnx",
    "a//model.onnx", "nul\x00.onnx", "esc\x1b[2J.onnx", "x" * 300 + ".onnx", "d/" * 900 + "model.onnx", "",
)  # fmt: skip


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LocalHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with local_hub() as hub:
        hub.publish(REPOSITORY, {"model.onnx": b"graph" * 1000})
        yield hub


def test_paths_that_lead_elsewhere_are_no_files(hub: LocalHub) -> None:
    hub.publish(REPOSITORY, dict.fromkeys(ESCAPING, b"x"))
    assert [file.path for file in list_files(REPOSITORY, None, HubAccess(hub.url)).files] == ["model.onnx"]


@given(st.text(alphabet="a./\\:\0\n", max_size=12))
def test_a_plain_path_never_leaves_its_folder(path: str) -> None:
    if is_plain_path(path):
        assert (Path("/models/m") / path).resolve().is_relative_to("/models/m/")
        assert (Path("/models/m") / path).as_posix() == f"/models/m/{path}"


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
ENTRY = st.fixed_dictionaries({}, optional={"rfilename": ANY, "size": ANY, "lfs": ANY | st.just({"sha256": 3})})


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    ANY | st.fixed_dictionaries({}, optional={"sha": ANY, "siblings": ANY | st.lists(ENTRY), "createdAt": ANY,
                                              "cardData": ANY | st.fixed_dictionaries({"license": ANY})})
)  # fmt: skip
def test_a_description_of_any_form_is_a_listing_or_a_refusal(answer: Any) -> None:
    listing = None
    with suppress(SourceUnavailable), hub_faults(HubFile(REPOSITORY, "main", ""), HubAccess()):
        listing = hub_repository._listing(REPOSITORY, "main", json.dumps(answer).encode())
    if listing is not None:
        assert all(type(file.size_bytes) in (int, type(None)) for file in listing.files)


def test_a_description_that_is_no_json_is_refused(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in (b"<html>", b"[" * 100_000, b""):
        monkeypatch.setattr(hub_repository, "_asked", lambda *_, answer=answer: answer)
        with pytest.raises(SourceUnavailable, match="cannot be understood"):
            list_files(REPOSITORY, None, HubAccess(hub.url))


def test_a_description_without_end_is_not_read(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_repository, "MAX_LISTING_BYTES", 100)
    with pytest.raises(SourceUnavailable, match="sends more of the description of someone/model than the 100 bytes"):
        list_files(REPOSITORY, None, HubAccess(hub.url))


def announced(monkeypatch: pytest.MonkeyPatch, size: int | None) -> None:
    """The hub's answer to HEAD says another size than its answer to GET has."""

    def metadata(file: HubFile, access: HubAccess) -> HubMetadata:
        true = file_metadata(file, access)
        return HubMetadata(true.location, true.commit, size, None)

    monkeypatch.setattr(downloads, "file_metadata", metadata)


@pytest.mark.parametrize("size", [10, None])
def test_a_body_larger_than_announced_is_not_taken(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    announced(monkeypatch, size)
    monkeypatch.setattr(downloads, "MAX_UNANNOUNCED_BYTES", 100)
    with pytest.raises(ArtifactError, match="sends more of model"):
        fetch_from_hub(
            FILE,
            tmp_path / "models" / "model.onnx",
            Expected("model.onnx"),
            access=HubAccess(hub.url),
            staging=tmp_path / "staging",
            progress=SilentProgress(),
        )
    assert not (tmp_path / "models").exists()
    assert sum(path.stat().st_size for path in (tmp_path / "staging").iterdir()) == 0
    with pytest.raises(SourceUnavailable, match="sends more of model"):
        read_from_hub(FILE, HubAccess(hub.url), max_bytes=100)


@pytest.mark.parametrize("size", [1 << 62, 10**30])
def test_a_size_that_nothing_has_is_refused(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    announced(monkeypatch, size)
    with pytest.raises(SourceUnavailable, match="cannot be understood"):
        fetch_from_hub(
            FILE,
            tmp_path / "model.onnx",
            Expected("model.onnx"),
            access=HubAccess(hub.url),
            staging=tmp_path / "staging",
            progress=SilentProgress(),
        )


def test_a_token_never_reaches_the_host_of_a_redirect(hub: LocalHub, tmp_path: Path) -> None:
    with local_hub() as other:
        other.files = hub.files
        hub.redirect_to, hub.token = other.url, "hub-word"
        access = HubAccess(hub.url, "hub-word")
        fetch_from_hub(
            FILE,
            tmp_path / "model.onnx",
            Expected("model.onnx"),
            access=access,
            staging=tmp_path / "staging",
            progress=SilentProgress(),
        )
        assert read_from_hub(FILE, access, max_bytes=10_000) == b"graph" * 1000
        assert other.requests
        assert {request.authorization for request in other.requests} == {None}
        assert {request.authorization for request in hub.requests} == {"Bearer hub-word"}
