"""The lock while a pull changes it: what is proved, what is installed whole, and the order in which that is written.

What the lock lists as installed belongs together at every moment. It is told before a file of an installed model
changes, and lists files again only once all of them are in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from gateway.artifacts.completeness import is_as_stated
from gateway.artifacts.graphs.external_data import is_inside
from gateway.artifacts.graphs.recipe import SERVING, recipe
from gateway.artifacts.lock import FOUND, is_commit, write_lock
from gateway.artifacts.measuring import Measured
from gateway.artifacts.placing import Content
from gateway.artifacts.variants import built_files
from gateway.cards.installation import Installation, LockedFile
from gateway.cards.schema import Card, FileSpec


class Ledger:
    """`commit` is where published files come from, None until it is known."""

    def __init__(self, card: Card, installation: Installation, *, variant: str | None) -> None:
        self._card = card
        self._variant = variant
        is_same = installation.repository in (None, card.repository)
        self._before = installation if is_same else Installation()
        # As the lock on disk says now.
        self._written: Installation | None = None
        self._proved = {**self._before.spare, **self._before.files}
        self._whole = set(self._before.files)
        self.commit = card.revision if is_commit(card.revision) else self._before.revision

    @property
    def is_whole(self) -> bool:
        """Whether the wanted variant is installed, as far as the lock goes."""
        return bool(self._whole) and self._before.variant == self._variant

    def proved(self, file: FileSpec) -> LockedFile | None:
        """What the lock says of the bytes on disk, where it is what is wanted now."""
        return self._fitting(file, self._proved.get(file.path))

    def stated(self, file: FileSpec) -> LockedFile | None:
        """What the lock said of the file when the pull began, and so what it has to be again."""
        known = {**self._before.spare, **self._before.files}
        return self._fitting(file, known.get(file.path))

    def about_to_change(self, path: str) -> None:
        """Call before anything is put under a final name. Once this returns, no lock vouches for the old bytes."""
        if path in self._whole:
            self._whole.clear()
            for built in built_files(self._card):
                self._proved.pop(built.path, None)
        self._proved.pop(path, None)
        self._write(self._state())

    def record(self, file: FileSpec, content: Content, source: str) -> None:
        """The file lies under its final name, and this is what it is."""
        revision = "" if source == FOUND and file.sha256 is None else self.commit or self._card.revision or ""
        self._proved[file.path] = LockedFile(
            path=file.path,
            size_bytes=content.size_bytes,
            sha256=content.sha256,
            source=source,
            revision=recipe(self._card) if file.built_by == SERVING else revision,
            pulled_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._write(self._state())

    def seal(self, paths: Sequence[str], measured: Measured | None) -> tuple[str, ...]:
        """Say that `paths` are installed and belong together, then delete what does not; returns what was deleted.

        `measured` None leaves what was measured before.
        """
        self._whole = set(paths)
        whole = replace(self._state(), revision=self.commit or self._card.revision)
        if measured is not None:
            whole = replace(whole, canary=measured.canary, batch_invariant=measured.batch_invariant, verified_at=None)
            whole = replace(whole, fast=None)
        self._write(whole)
        removed = self._delete({*whole.spare, *(file.path for file in self._card.files)} - self._whole)
        self._write(replace(whole, spare={}))
        return removed

    def _fitting(self, file: FileSpec, locked: LockedFile | None) -> LockedFile | None:
        if locked is None or not is_as_stated(self._card, file, locked):
            return None
        is_published = file.sha256 is None and not file.built_by and locked.source != FOUND
        return None if is_published and locked.revision != self.commit else locked

    def _state(self) -> Installation:
        """What the lock has to say now."""
        whole = {path: entry for path, entry in self._proved.items() if path in self._whole}
        spare = {path: entry for path, entry in self._proved.items() if path not in self._whole}
        state = replace(self._before, files=whole, spare=spare, repository=self._card.repository)
        keeps_old = bool(whole) and self._whole == set(self._before.files)
        return state if keeps_old else replace(state, variant=self._variant, revision=self.commit)

    def _write(self, state: Installation) -> None:
        if state != self._written:
            write_lock(self._card, state)
            self._written = state

    def _delete(self, paths: set[str]) -> tuple[str, ...]:
        # A lock that came from elsewhere must not make anybody delete what is none of this model's.
        there = sorted(path for path in paths if is_inside(path) and self._card.path_of(path).is_file())
        for path in there:
            self._card.path_of(path).unlink(missing_ok=True)
        return tuple(there)
