"""What is installed of a model, as the lock beside its weights says: the facts that a card cannot know beforehand.

Written by `gateway.artifacts`; read here, because serving depends on it too.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from gateway.cards.schema import VERSION_FOLDER, Card

LOCK_FILE = f"{VERSION_FOLDER}/files.lock.json"


@dataclass(frozen=True, slots=True)
class LockedFile:
    """`source` is hub, index, built or found; `pulled_at` is UTC, ISO 8601."""

    path: str
    size_bytes: int
    sha256: str
    source: str
    revision: str
    pulled_at: str


@dataclass(frozen=True, slots=True)
class FastProof:
    """That a model may be served fast: the smallest cosine of its vectors with the exact ones, and the largest
    difference that sharing a batch made to a value, both over sample texts. It holds for one `machine`: processor and
    package that computed."""

    min_cosine: float
    spread: float
    machine: str


@dataclass(frozen=True, slots=True)
class Installation:
    """`files` are those that belong together and serve; empty where nothing is installed whole. `spare` lie there too,
    each proved, but of an installation that is under way, or of one that was replaced.

    `variant` is the installed precision, None where the card has only one. `canary` holds the first values that the
    installed files gave for the card's canary text. `batch_invariant` says whether a text's vector is the same whoever
    shares its batch; `fast` that it may be served fast, None where nobody tried. `verified_at` is when everything was
    last proved, UTC, ISO 8601."""

    files: Mapping[str, LockedFile] = field(default_factory=dict)
    spare: Mapping[str, LockedFile] = field(default_factory=dict)
    variant: str | None = None
    repository: str | None = None
    revision: str | None = None
    canary: tuple[float, ...] = ()
    batch_invariant: bool = True
    fast: FastProof | None = None
    verified_at: str | None = None

    @property
    def size_bytes(self) -> int:
        """What the files that serve take."""
        return sum(file.size_bytes for file in self.files.values())


def digest_of(installations: Iterable[Installation]) -> str:
    """A sha256, in hex, over those of all installed files: another one means other files. "" where there are none."""
    hashes = sorted(file.sha256 for installed in installations for file in installed.files.values())
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest() if hashes else ""


def read_installation(card: Card) -> Installation:
    """Empty where there is no lock, or it cannot be read or names what cannot be, which costs only a new look at the
    files."""
    try:
        document = json.loads(card.path_of(LOCK_FILE).read_text(encoding="utf-8"))
        return Installation(
            files=_by_path(document["files"]),
            spare=_by_path(document.get("spare", ())),
            variant=_text(document.get("variant")),
            repository=_text(document.get("repository")),
            revision=_text(document.get("revision")),
            canary=tuple(map(_finite, document.get("canary", ()))),
            batch_invariant=bool(document.get("batch_invariant", True)),
            fast=_fast(document.get("fast")),
            verified_at=_text(document.get("verified_at")),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return Installation()


def _by_path(entries: Iterable[dict[str, object]]) -> dict[str, LockedFile]:
    files = [LockedFile(**entry) for entry in entries]  # type: ignore[arg-type]  # checked below
    for file in files:
        _check(file)
    return {file.path: file for file in files}


def _check(file: LockedFile) -> None:
    """Raises `ValueError`. A pull replaces and deletes what the lock names, so nothing outside the folder may be."""
    texts = (file.path, file.sha256, file.source, file.revision, file.pulled_at)
    if not all(isinstance(text, str) for text in texts) or type(file.size_bytes) is not int:
        raise ValueError("a file's entry has values of other types")
    parts = PurePosixPath(file.path).parts
    if not parts or parts[0] == "/" or ".." in parts or "\\" in file.path or "\0" in file.path:
        raise ValueError("a file lies outside the model folder")


def _fast(entry: object) -> FastProof | None:
    if not isinstance(entry, dict):
        return None
    return FastProof(
        min_cosine=_finite(entry["min_cosine"]), spread=_finite(entry["spread"]), machine=str(entry["machine"])
    )


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError("a text is something else")
    return value


def _finite(value: object) -> float:
    """A NaN in the canary would let every vector pass: nothing is further from it than the tolerance."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a canary value is no finite number")
    return float(value)


def expected_canary(card: Card, installation: Installation) -> tuple[float, ...]:
    """The published values where there are any, else those measured when the files were installed; may be empty."""
    return card.canary.expected or installation.canary
