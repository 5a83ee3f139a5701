"""Cards follow the image onto a network volume; weights there stay, and no reader ever sees half a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.cards.registry import Registry
from gateway.errors import ArtifactError
from gateway.runpod.volume import is_usable, repository_on
from tests.conftest import REPOSITORY
from tests.support.captured_log import captured_log


def test_every_card_arrives_and_no_weights(tmp_path: Path) -> None:
    repository = repository_on(tmp_path, shipped=REPOSITORY)
    names = [card.name for card in Registry.from_repository(repository).cards]
    assert names == [card.name for card in Registry.from_repository(REPOSITORY).cards]
    assert {path.suffix for path in repository.rglob("*") if path.is_file()} <= {".toml", ".pbtxt", ".py"}
    for shipped in REPOSITORY.glob("*/1/*.py"):
        assert (repository / shipped.relative_to(REPOSITORY)).read_bytes() == shipped.read_bytes()


def test_a_later_image_brings_its_cards_and_leaves_weights(tmp_path: Path) -> None:
    repository = repository_on(tmp_path, shipped=REPOSITORY)
    card = repository / "jina-embeddings-v3" / "card.toml"
    weights = repository / "jina-embeddings-v3" / "1" / "model.onnx"
    weights.parent.mkdir(exist_ok=True)
    weights.write_bytes(b"weights")
    untouched = repository / "all-MiniLM-L6-v2" / "card.toml"
    before = untouched.stat()
    card.write_text("an older one")
    repository_on(tmp_path, shipped=REPOSITORY)
    assert card.read_bytes() == (REPOSITORY / "jina-embeddings-v3" / "card.toml").read_bytes()
    assert weights.read_bytes() == b"weights"
    assert (untouched.stat().st_mtime_ns, untouched.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_volume_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "gateway").write_text("a file where a folder has to be")
    with pytest.raises(ArtifactError, match="cannot be written to") as refused:
        repository_on(tmp_path, shipped=REPOSITORY)
    assert refused.value.remedy


def test_a_volume_is_used_where_it_may_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_usable(tmp_path)
    assert not is_usable(tmp_path / "none")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with captured_log() as log:
        assert not is_usable(tmp_path)
    assert "cannot be written to" in log.getvalue()
