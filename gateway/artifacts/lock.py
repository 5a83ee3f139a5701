"""Writing the lock: which bytes were installed for a model, from where and when. It lies beside the weights.

It lets the next pull trust a file by its size instead of reading gigabytes again. `gateway.cards.installation` reads
it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict

from gateway.artifacts.placing import Expected, place_chunks
from gateway.cards.installation import LOCK_FILE, Installation, LockedFile
from gateway.cards.schema import Card

# The `source` of files that were there before anything was installed, put there by hand.
FOUND = "found"

# That of files that came from the hub, or that the hub says are its own.
HUB = "hub"

_COMMIT = re.compile(r"[0-9a-f]{40}")


def is_commit(revision: str | None) -> bool:
    """Whether a revision names one state of a repository for good, which a branch does not."""
    return revision is not None and _COMMIT.fullmatch(revision) is not None


def write_lock(card: Card, installation: Installation) -> None:
    """Replace the lock, whole or not at all."""
    document = {
        "model": card.name,
        "repository": installation.repository,
        "revision": installation.revision,
        "variant": installation.variant,
        "batch_invariant": installation.batch_invariant,
        "fast": asdict(installation.fast) if installation.fast is not None else None,
        "verified_at": installation.verified_at,
        "canary": list(installation.canary),
        "files": _as_documents(installation.files.values()),
        "spare": _as_documents(installation.spare.values()),
    }
    text = json.dumps(document, indent=2) + "\n"
    place_chunks([text.encode("utf-8")], card.path_of(LOCK_FILE), Expected(label=LOCK_FILE), origin="this run")


def _as_documents(entries: Iterable[LockedFile]) -> list[dict[str, object]]:
    return [asdict(entry) for entry in sorted(entries, key=lambda entry: entry.path)]
