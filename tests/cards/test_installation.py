"""The lock says what is installed; one that cannot be read costs a new look at the files, never an answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cards.installation import LOCK_FILE, Installation, LockedFile, expected_canary, read_installation
from gateway.cards.schema import Card
from tests.support.tiny_models import tiny_card

ENTRY = {
    "path": "1/model.onnx",
    "size_bytes": 3,
    "sha256": "a" * 64,
    "source": "hub",
    "revision": "b" * 40,
    "pulled_at": "2026-01-01T00:00:00+00:00",
}


def with_lock(folder: Path, text: str) -> Card:
    card = tiny_card(folder)
    lock = card.path_of(LOCK_FILE)
    lock.parent.mkdir()
    lock.write_text(text, encoding="utf-8")
    return card


def test_everything_in_the_lock_arrives(tmp_path: Path) -> None:
    document = {
        "files": [ENTRY],
        "variant": "fp16",
        "repository": "acme/tiny",
        "revision": "b" * 40,
        "canary": [0.5, 1],
        "batch_invariant": False,
        "verified_at": "2026-01-02T00:00:00+00:00",
    }
    installation = read_installation(with_lock(tmp_path, json.dumps(document)))
    assert installation == Installation(
        files={"1/model.onnx": LockedFile(**ENTRY)},  # type: ignore[arg-type]
        variant="fp16",
        repository="acme/tiny",
        revision="b" * 40,
        canary=(0.5, 1.0),
        batch_invariant=False,
        verified_at="2026-01-02T00:00:00+00:00",
    )


def test_an_older_lock_without_the_newer_keys_is_read(tmp_path: Path) -> None:
    installation = read_installation(with_lock(tmp_path, json.dumps({"files": [ENTRY]})))
    assert list(installation.files) == ["1/model.onnx"]
    assert (installation.variant, installation.canary, installation.batch_invariant) == (None, (), True)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"files": 3}', '{"files": [{"path": "x"}]}', '{"files": [], "canary": ["x"]}']
)
def test_a_lock_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    assert read_installation(with_lock(tmp_path, text)) == Installation()


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../other/1/model.onnx"},
        {"path": "/etc/passwd"},
        {"path": "1\\..\\x"},
        {"path": "1/\0"},
        {"path": ""},
        {"path": 5},
        {"size_bytes": "3"},
        {"sha256": None},
    ],
)
@pytest.mark.parametrize("part", ["files", "spare"])
def test_a_lock_with_a_file_that_cannot_be_is_none(tmp_path: Path, part: str, change: dict[str, object]) -> None:
    """What is in the lock is deleted when another variant replaces it, so a path must not lead out of the folder."""
    document = {"files": [ENTRY], "canary": [0.5]} | {part: [ENTRY | change]}
    assert read_installation(with_lock(tmp_path, json.dumps(document))) == Installation()


@pytest.mark.parametrize(
    "change", [{"canary": [float("nan")]}, {"canary": [1e999]}, {"canary": "12"}, {"variant": 7}, {"revision": []}]
)
def test_a_lock_with_values_that_cannot_be_is_none(tmp_path: Path, change: dict[str, object]) -> None:
    """Compared with a NaN, every vector would be near enough."""
    document = {"files": [ENTRY]} | change
    assert read_installation(with_lock(tmp_path, json.dumps(document))) == Installation()


def test_a_lock_nested_without_end_is_none(tmp_path: Path) -> None:
    assert read_installation(with_lock(tmp_path, "[" * 200_000)) == Installation()


def test_no_lock_is_nothing_installed(tmp_path: Path) -> None:
    assert read_installation(tiny_card(tmp_path)) == Installation()


def test_published_values_go_before_measured_ones(tmp_path: Path) -> None:
    card, measured = tiny_card(tmp_path), Installation(canary=(1.0, 2.0))
    assert expected_canary(card, measured) == card.canary.expected
    unpublished = replace(card, canary=replace(card.canary, expected=()))
    assert expected_canary(unpublished, measured) == (1.0, 2.0)
    assert expected_canary(unpublished, Installation()) == ()
