"""A model folder in the making, out of sight of everything that reads the model repository until it is whole.

It lies among the half downloads, so that a run that was cut off is gone on with, and it may be deleted at any time.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gateway.artifacts.exclusive import exclusive
from gateway.artifacts.hub import fetch_from_hub
from gateway.artifacts.hub_access import HubFile
from gateway.artifacts.hub_repository import RepositoryListing
from gateway.artifacts.placing import Content, Expected, content_of
from gateway.artifacts.sources import STAGING_LOCK, Fetching
from gateway.cards.installation import LockedFile
from gateway.cards.schema import VERSION_FOLDER
from gateway.errors import ArtifactError

FOLDER = "adding"
INCOMING = ".incoming"


@dataclass(frozen=True, slots=True)
class Workspace:
    """`folder` has the model's own name. `locked` fills up with what was fetched, by path in the model folder."""

    folder: Path
    listing: RepositoryListing
    fetching: Fetching
    locked: dict[str, LockedFile] = field(default_factory=dict)

    def fetch(self, hub_path: str, name: str) -> Path:
        """Download a file of the repository to `name` in the version folder. Raises `ArtifactError`."""
        path = f"{VERSION_FOLDER}/{name}"
        destination = self.folder / path
        if path not in self.locked:
            content = self._there(hub_path, destination) or self._fetched(hub_path, destination, label=path)
            self.locked[path] = self._entry(path, content)
        return destination

    def pins(self, files: Mapping[str, str]) -> dict[str, Content]:
        """Size and hash of every file whose bytes are known, be it fetched or not; `files` maps paths in the model
        folder to paths in the repository."""
        known = {path: Content(file.size_bytes, file.sha256) for path, file in self.locked.items()}
        for path, hub_path in files.items():
            file = self.listing.find(hub_path)
            if path not in known and file is not None and file.sha256 is not None and file.size_bytes is not None:
                known[path] = Content(file.size_bytes, file.sha256)
        return known

    def _there(self, hub_path: str, destination: Path) -> Content | None:
        """What a run that was cut off left, where the hub's word proves that it is this file."""
        published = self.listing.find(hub_path)
        is_file = destination.is_file() and not destination.is_symlink()
        if published is None or published.sha256 is None or not is_file:
            return None
        content = content_of(destination)
        return content if content.sha256 == published.sha256 else None

    def _fetched(self, hub_path: str, destination: Path, *, label: str) -> Content:
        with exclusive(self.fetching.staging / STAGING_LOCK):
            return fetch_from_hub(
                HubFile(self.listing.repository, self.listing.revision, hub_path),
                destination,
                Expected(label=label),
                access=self.fetching.hub,
                staging=self.fetching.staging,
                progress=self.fetching.progress,
            )

    def _entry(self, path: str, content: Content) -> LockedFile:
        return LockedFile(
            path=path,
            size_bytes=content.size_bytes,
            sha256=content.sha256,
            source="hub",
            revision=self.listing.revision,
            pulled_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def write(self, name: str, text: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text, encoding="utf-8", newline="\n")

    def has_all(self, paths: Iterable[str]) -> bool:
        return all((self.folder / path).is_file() for path in paths)

    def discard(self) -> None:
        """Delete everything, where going on from it would lead to the same refusal."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._leave()

    def _leave(self) -> None:
        """Take the commit's folder away too, unless another model is being made of it."""
        with suppress(OSError):
            self.folder.parent.rmdir()

    def publish(self, target: Path) -> None:
        """Make it the folder `target`, whole or not at all.

        Raises `ArtifactError` where something is there already or the disk refuses.
        """
        try:
            self._move(target)
        except OSError as error:
            raise ArtifactError(
                f"The model cannot be put into {target}: {error.strerror or error}.",
                remedy="Check that there is room on the disk, that the folder can be written to, and that no other "
                "model has it.",
            ) from error

    def _move(self, target: Path) -> None:
        try:
            self.folder.rename(target)
            self._leave()
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy(target)
            self.discard()

    def _copy(self, target: Path) -> None:
        """Between two disks nothing moves at once: a copy beside the target, one level down and so no model yet, and
        then the move."""
        incoming = target.parent / INCOMING / target.name
        try:
            shutil.rmtree(incoming, ignore_errors=True)
            shutil.copytree(self.folder, incoming)
            incoming.rename(target)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
            with suppress(OSError):
                incoming.parent.rmdir()


@contextmanager
def workspace(name: str, listing: RepositoryListing, fetching: Fetching) -> Iterator[Workspace]:
    """The workspace for a model of that name, for one run at a time. Each commit has its own, so that what was left of
    another one is never taken for a part of this."""
    folder = fetching.staging / FOLDER / listing.revision / name
    with exclusive(fetching.staging / FOLDER / f".{name}.lock"):
        yield Workspace(folder, listing, fetching)
