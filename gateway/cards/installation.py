"""What is installed of a model, as the lock beside its weights says: the facts that a card cannot know beforehand.

Written by `gateway.artifacts`; read here, because serving depends on it too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gateway.cards.schema import Card

LOCK_FILE = "1/files.lock.json"


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
class Installation:
    """`files` are those that belong together and serve; empty where nothing is installed whole. `spare` lie there too,
    each proved, but of an installation that is under way, or of one that was replaced.

    `variant` is the installed precision, None where the card has only one. `canary` holds the first values that the
    installed files gave for the card's canary text. `batch_invariant` says whether a text's vector is the same whoever
    shares its batch. `verified_at` is when everything was last proved, UTC, ISO 8601."""

    files: Mapping[str, LockedFile] = field(default_factory=dict)
    spare: Mapping[str, LockedFile] = field(default_factory=dict)
    variant: str | None = None
    repository: str | None = None
    revision: str | None = None
    canary: tuple[float, ...] = ()
    batch_invariant: bool = True
    verified_at: str | None = None


def read_installation(card: Card) -> Installation:
    """Empty where there is no lock or it cannot be read, which costs only a new look at the files."""
    try:
        document = json.loads(card.path_of(LOCK_FILE).read_text(encoding="utf-8"))
        return Installation(
            files=_by_path(document["files"]),
            spare=_by_path(document.get("spare", ())),
            variant=document.get("variant"),
            repository=document.get("repository"),
            revision=document.get("revision"),
            canary=tuple(map(float, document.get("canary", ()))),
            batch_invariant=bool(document.get("batch_invariant", True)),
            verified_at=document.get("verified_at"),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Installation()


def _by_path(entries: Iterable[dict[str, object]]) -> dict[str, LockedFile]:
    files = [LockedFile(**entry) for entry in entries]  # type: ignore[arg-type]  # checked by whoever wrote it
    return {file.path: file for file in files}


def expected_canary(card: Card, installation: Installation) -> tuple[float, ...]:
    """The published values where there are any, else those measured when the files were installed; may be empty."""
    return card.canary.expected or installation.canary
