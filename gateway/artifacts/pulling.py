"""Bringing a model's files onto this machine: fetched or built, checked, locked. Again costs next to nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gateway.artifacts.completeness import has_size
from gateway.artifacts.exclusive import exclusive
from gateway.artifacts.graphs.building import build_graph
from gateway.artifacts.lock import write_lock
from gateway.artifacts.placing import Content, content_of, place_chunks, sweep_incoming
from gateway.artifacts.sources import Fetching, expected_of, fetch_files
from gateway.cards.installation import LockedFile, read_installation
from gateway.cards.schema import Card, FileSpec, GraphSpec
from gateway.errors import ArtifactError

PULL_LOCK_FILE = "1/.pull.lock"


@dataclass(frozen=True, slots=True)
class PullResult:
    """`installed` are the paths that were fetched or built now; empty when everything was there."""

    installed: tuple[str, ...]


def pull(card: Card, fetching: Fetching, *, rehash: bool = False) -> PullResult:
    """Make a model's files complete and right.

    A file that is there is trusted by its size and the lock's word; `rehash` reads it again. One pull of a model at a
    time: a second one waits, then finds the work done. Raises `ArtifactError` or `ConfigurationError`.
    """
    if not rehash and is_settled(card):
        return PullResult(installed=())
    with exclusive(card.path_of(PULL_LOCK_FILE)):
        for folder in {card.path_of(file.path).parent for file in card.files}:
            folder.mkdir(parents=True, exist_ok=True)
            sweep_incoming(folder)
        return _Pull(card, fetching).run(rehash=rehash)


def is_settled(card: Card) -> bool:
    """Whether every file is there at its size and the lock says that it held the right bytes. Writes nothing."""
    installation = read_installation(card)
    files = card.files_of(installation.variant)
    return all(has_size(card, file) and _vouched(installation.files.get(file.path), file) for file in files)


def _vouched(entry: LockedFile | None, file: FileSpec) -> bool:
    return entry is not None and entry.sha256 == (file.sha256 or entry.sha256)


class _Pull:
    def __init__(self, card: Card, fetching: Fetching) -> None:
        self.card = card
        self.fetching = fetching
        self.installation = read_installation(card)
        self.locked = dict(self.installation.files)
        self.files = card.files_of(self.installation.variant)
        self.installed: list[str] = []

    def run(self, *, rehash: bool) -> PullResult:
        wanted = [file for file in self.files if not self._is_right(file, rehash=rehash)]
        published = [file for file in wanted if not file.built_by]
        if published:
            fetch_files(self.card, published, self.fetching, installed=self._install)
        for file in wanted:
            if file.built_by:
                self._install(file, build_file(self.card, file), "built")
        return PullResult(installed=tuple(self.installed))

    def _is_right(self, file: FileSpec, *, rehash: bool) -> bool:
        """Whether a file can stay. One that the lock does not know, put there by hand say, is read once."""
        if not has_size(self.card, file):
            return False
        entry = self.locked.get(file.path)
        known = _vouched(entry, file)
        if known and not rehash:
            return True
        content = content_of(self.card.path_of(file.path))
        wanted = file.sha256 or (entry.sha256 if entry else content.sha256)
        if content.sha256 != wanted:
            return False
        if not known:
            self._record(file, content, "found")
        return True

    def _install(self, file: FileSpec, content: Content, source: str) -> None:
        self.installed.append(file.path)
        self._record(file, content, source)

    def _record(self, file: FileSpec, content: Content, source: str) -> None:
        self.locked[file.path] = LockedFile(
            path=file.path,
            size_bytes=content.size_bytes,
            sha256=content.sha256,
            source=source,
            revision=self.card.revision or "",
            pulled_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_lock(self.card, replace(self.installation, files=self.locked))


def build_file(card: Card, file: FileSpec) -> Content:
    """Build a file from the weights beside it and put it in place.

    Raises `ArtifactError` when the result is not what the card says.
    """
    if card.graph is None or not file.built_by:
        raise ArtifactError(f"{file.path} of {card.name} is not a file that is built here.")
    data = _built(card, card.graph)
    return place_chunks([data], card.path_of(file.path), expected_of(file), origin=f"the {file.built_by} builder")


def built_content(card: Card) -> Content:
    """What the builder writes for a card today, for whoever writes or renews a card."""
    if card.graph is None:
        raise ArtifactError(f"{card.name} has no graph section.")
    data = _built(card, card.graph)
    return Content(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


def _built(card: Card, spec: GraphSpec) -> bytes:
    if spec.weights is None:
        raise ArtifactError(f"{card.name} has no weights that a graph could be built around.")
    return build_graph(spec, card.path_of(spec.weights))
