"""What a repository on the model hub holds, without fetching it: its files, and the small ones' content."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from huggingface_hub import HfApi

from gateway.artifacts.hub import read_from_hub
from gateway.artifacts.hub_access import HubAccess, HubFile, check_endpoint, hub_faults, within

DEFAULT_REVISION = "main"
# Long enough for a repository of thousands of files.
LIST_SECONDS = 20.0
MAX_SMALL_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """`size_bytes` and `sha256` are None where the hub does not say; it knows the sha256 of large files only."""

    path: str
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RepositoryListing:
    """`revision` is the commit that the asked revision stands for. `licence` is what the repository states, `created`
    the day it was made, where the hub says so."""

    repository: str
    revision: str
    files: tuple[RepositoryFile, ...]
    licence: str | None = None
    created: date | None = None

    def find(self, path: str) -> RepositoryFile | None:
        return next((file for file in self.files if file.path == path), None)


def list_files(repository: str, revision: str | None, access: HubAccess) -> RepositoryListing:
    """The files of a repository at a commit, branch or tag; None is the main branch.

    Raises `NotOnHub` where there is no such repository or revision, `SourceUnavailable` where the hub is away or
    refuses.
    """
    check_endpoint(access)
    asked = HubFile(repository, revision or DEFAULT_REVISION, "")
    api = HfApi(endpoint=access.endpoint, token=access.token)
    with hub_faults(asked, access):
        info = within(
            LIST_SECONDS,
            lambda: api.model_info(repository, revision=asked.revision, files_metadata=True, timeout=LIST_SECONDS),
        )
    licence = getattr(info.card_data, "license", None)
    return RepositoryListing(
        repository=repository,
        revision=info.sha or asked.revision,
        files=tuple(
            RepositoryFile(file.rfilename, file.size, file.lfs.sha256 if file.lfs else None)
            for file in info.siblings or ()
        ),
        licence=licence if isinstance(licence, str) else None,
        created=info.created_at.date() if info.created_at else None,
    )


def read_small(
    repository: str, revision: str, path: str, access: HubAccess, *, max_bytes: int = MAX_SMALL_BYTES
) -> bytes:
    """The content of a small file, such as a `config.json`. Raises as `list_files` does."""
    return read_from_hub(HubFile(repository, revision, path), access, max_bytes=max_bytes)
