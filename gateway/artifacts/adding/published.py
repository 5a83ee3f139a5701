"""A repository at one commit, as the readers of this package see it: which files there are, and the small ones read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

from gateway.artifacts.adding.refusal import TELL_AUTHORS, CannotServe
from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.hub_repository import RepositoryListing, list_files, read_small
from gateway.artifacts.lock import is_commit
from gateway.errors import SourceUnavailable

T = TypeVar("T")

Document = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Fact(Generic[T]):
    """Something derived, and where from: a file of the repository, an option, or a rule in words."""

    value: T
    source: str


@dataclass(frozen=True, slots=True)
class Published:
    """`read` gives the content of a small file that the listing has."""

    listing: RepositoryListing
    read: Callable[[str], bytes]

    def has(self, path: str) -> bool:
        return self.listing.find(path) is not None

    def size_of(self, path: str) -> int | None:
        """Bytes, or None where the hub does not say. For a path that the listing has."""
        file = self.listing.find(path)
        return file.size_bytes if file is not None else None

    def paths(self, ending: str) -> tuple[str, ...]:
        return tuple(sorted(file.path for file in self.listing.files if file.path.endswith(ending)))

    def document(self, path: str) -> Document | None:
        """A JSON file that holds an object; None where there is no such file. Raises `CannotServe` for another one."""
        if not self.has(path):
            return None
        content = self._parsed(path)
        if not isinstance(content, dict):
            raise _damaged(path, "it holds no JSON object")
        return content

    def documents(self, path: str) -> list[Document] | None:
        """A JSON file that holds a list of objects; otherwise as `document`."""
        if not self.has(path):
            return None
        content = self._parsed(path)
        if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
            raise _damaged(path, "it holds no list of JSON objects")
        return content

    def _parsed(self, path: str) -> object:
        try:
            return json.loads(self.read(path))
        except (ValueError, RecursionError) as error:
            raise _damaged(path, f"it is not JSON ({type(error).__name__})") from error


def look_into(repository: str, revision: str | None, access: HubAccess) -> Published:
    """The repository at the commit that `revision` stands for; None is its main branch.

    Raises as `gateway.artifacts.hub_repository.list_files` does.
    """
    listing = list_files(repository, revision, access)
    if not is_commit(listing.revision):
        raise SourceUnavailable(f"The model hub does not say which commit {listing.revision} of {repository} is.")
    return Published(listing, cache(lambda path: read_small(repository, listing.revision, path, access)))


def joined(folder: str, name: str) -> str:
    """A path in the repository; `folder` is empty for its root."""
    return f"{folder}/{name}" if folder else name


def _damaged(path: str, why: str) -> CannotServe:
    return CannotServe(f"The repository's {path} cannot be understood: {why}.", remedy=TELL_AUTHORS)
