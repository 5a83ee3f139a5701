"""Repositories as the readers of `gateway.artifacts.adding` see them, without a hub."""

from __future__ import annotations

import hashlib
import json

from gateway.artifacts.adding.published import Published
from gateway.artifacts.hub_repository import RepositoryFile, RepositoryListing

COMMIT = "a" * 40


def published(files: dict[str, object], *, licence: str | None = None) -> Published:
    """A repository of these files by path; what is not bytes is written as JSON."""
    contents = {path: _bytes(content) for path, content in files.items()}
    listing = RepositoryListing(
        repository="someone/model",
        revision=COMMIT,
        files=tuple(
            RepositoryFile(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in contents.items()
        ),
        licence=licence,
    )
    return Published(listing, contents.__getitem__)


def _bytes(content: object) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()
