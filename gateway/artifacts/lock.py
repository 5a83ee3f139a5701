"""The lock: which bytes were installed for a model, from where and when. It lies beside the weights.

It lets the next pull trust a file by its size instead of reading gigabytes again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from gateway.artifacts.placing import Expected, place_chunks
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


def read_lock(card: Card) -> dict[str, LockedFile]:
    """Entries by path; empty where there is no lock or it cannot be read, which costs only a new look at the files."""
    try:
        document = json.loads(card.path_of(LOCK_FILE).read_text(encoding="utf-8"))
        entries = [LockedFile(**entry) for entry in document["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {entry.path: entry for entry in entries}


def write_lock(card: Card, entries: Mapping[str, LockedFile]) -> None:
    text = json.dumps({"model": card.name, "files": list(_as_documents(entries.values()))}, indent=2) + "\n"
    place_chunks([text.encode("utf-8")], card.path_of(LOCK_FILE), Expected(label=LOCK_FILE), origin="this run")


def _as_documents(entries: Iterable[LockedFile]) -> Iterable[dict[str, object]]:
    return (asdict(entry) for entry in sorted(entries, key=lambda entry: entry.path))
