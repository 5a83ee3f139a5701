"""Room is asked for where it will be taken: of what is fetched next, and of what is there already, each on its disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.artifacts.room import check_room
from gateway.errors import ArtifactError

SIZES = {"a.safetensors": 600, "b.safetensors": 400}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another disk than `tmp_path`."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system, such as /dev/shm")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        yield Path(folder)


def demand(
    monkeypatch: pytest.MonkeyPatch, free: Mapping[Path, int], there: Mapping[str, int], *, models: Path, staging: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[folder]))
    check_room("a-model", SIZES, there, models=models, staging=staging)


@pytest.mark.parametrize(
    ("there", "needed"), [({}, 1000), ({"a.safetensors": 250}, 750), ({"b.safetensors": 999}, 600)]
)
def test_on_one_disk_what_is_missing_has_to_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: dict[str, int], needed: int
) -> None:
    staging = tmp_path / "downloads"
    demand(monkeypatch, {tmp_path: needed}, there, models=tmp_path, staging=staging)
    with pytest.raises(ArtifactError, match=r"a-model needs .* GB more on the disk of"):
        demand(monkeypatch, {tmp_path: needed - 1}, there, models=tmp_path, staging=staging)


@pytest.mark.parametrize(("there", "largest"), [({}, 600), ({"a.safetensors": 250}, 400)])
def test_on_two_disks_all_has_to_fit_on_one_and_the_largest_file_on_the_other(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, there: dict[str, int], largest: int
) -> None:
    demand(monkeypatch, {tmp_path: 1000, elsewhere: largest}, there, models=tmp_path, staging=elsewhere)
    for free, small in (
        ({tmp_path: 999, elsewhere: 10_000}, tmp_path),
        ({tmp_path: 10_000, elsewhere: largest - 1}, elsewhere),
    ):
        with pytest.raises(ArtifactError, match=f"on the disk of {small}, which has"):
            demand(monkeypatch, free, there, models=tmp_path, staging=elsewhere)
