"""A file appears whole and proved, or not at all."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.artifacts.placing import Expected, content_of, place_chunks, place_file, sweep_incoming
from gateway.errors import ArtifactError

DATA = b"weights" * 1000
RIGHT = hashlib.sha256(DATA).hexdigest()
WRONG = hashlib.sha256(b"").hexdigest()


def test_chunks_become_a_file_and_are_counted(tmp_path: Path) -> None:
    counts: list[int] = []
    path = tmp_path / "new" / "model.bin"
    content = place_chunks(
        [DATA[:10], DATA[10:]], path, Expected("model.bin", len(DATA), RIGHT), origin="a test", on_bytes=counts.append
    )
    assert path.read_bytes() == DATA
    assert (content.size_bytes, content.sha256) == (len(DATA), RIGHT)
    assert counts == [10, len(DATA) - 10]
    assert content_of(path) == content


@pytest.mark.parametrize(
    ("expected", "says"),
    [
        (
            Expected("1/model.bin", len(DATA), WRONG),
            f"1/model.bin from a test is not the right file: .*{RIGHT}.*{WRONG}",
        ),
        (Expected("1/model.bin", len(DATA) + 1, None), f"has {len(DATA)} bytes, the card says {len(DATA) + 1}"),
    ],
)
def test_wrong_bytes_leave_what_was_there(tmp_path: Path, expected: Expected, says: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(b"older")
    with pytest.raises(ArtifactError, match=says):
        place_chunks([DATA], path, expected, origin="a test")
    assert path.read_bytes() == b"older"
    assert [item.name for item in tmp_path.iterdir()] == ["model.bin"]


def test_a_source_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def breaking() -> Iterator[bytes]:
        yield DATA
        raise EOFError

    with pytest.raises(EOFError):
        place_chunks(breaking(), tmp_path / "model.bin", Expected("model.bin"), origin="a test")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match=r"model\.bin cannot be written"):
        place_chunks([DATA], tmp_path / "file" / "model.bin", Expected("model.bin"), origin="a test")


def test_a_staged_file_is_gone_whether_it_was_right_or_wrong(tmp_path: Path) -> None:
    staged, path = tmp_path / "staged", tmp_path / "model.bin"
    staged.write_bytes(DATA)
    with pytest.raises(ArtifactError):
        place_file(staged, path, Expected("model.bin", sha256=WRONG), origin="a test")
    assert not staged.exists()
    staged.write_bytes(DATA)
    place_file(staged, path, Expected("model.bin", sha256=RIGHT), origin="a test")
    assert [item.name for item in tmp_path.iterdir()] == ["model.bin"]


def test_a_staged_file_stays_when_the_disk_refuses(tmp_path: Path) -> None:
    staged = tmp_path / "staged"
    staged.write_bytes(DATA)
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match="cannot be written"):
        place_file(staged, tmp_path / "file" / "model.bin", Expected("model.bin", sha256=RIGHT), origin="a test")
    assert staged.read_bytes() == DATA


def test_a_staged_file_on_another_disk_is_copied(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system, such as /dev/shm")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        staged, path = Path(folder) / "staged", tmp_path / "model.bin"
        staged.write_bytes(DATA)
        place_file(staged, path, Expected("model.bin", sha256=RIGHT), origin="a test")
        assert path.read_bytes() == DATA
        assert not staged.exists()


def test_leftovers_of_a_killed_run_are_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in (".model.bin.123.incoming", "model.bin", ".gitkeep"):
        (tmp_path / name).touch()
    sweep_incoming(tmp_path)
    assert sorted(item.name for item in tmp_path.iterdir()) == [".gitkeep", "model.bin"]
