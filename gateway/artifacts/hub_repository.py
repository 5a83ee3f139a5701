"""What a repository on the model hub holds, without fetching it: its files, and the small ones' content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO
from urllib.parse import quote

from huggingface_hub import constants
from huggingface_hub.utils import (  # type: ignore[attr-defined]  # exported lazily
    build_hf_headers,
    hf_raise_for_status,
    http_stream_backoff,
)

from gateway.artifacts.bounded import bounded
from gateway.artifacts.hub import SHA256, read_from_hub
from gateway.artifacts.hub_access import HubAccess, HubFile, check_endpoint, hub_faults, within

DEFAULT_REVISION = "main"
# Long enough for a repository of thousands of files.
LIST_SECONDS = 20.0
MAX_SMALL_BYTES = 4 << 20
# Some hundred bytes a file: enough for a hundred thousand of them.
MAX_LISTING_BYTES = 32 << 20
# What a disk takes, with room for the names under which a file is on its way.
MAX_NAME_BYTES = 200
MAX_PATH_BYTES = 1000


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
    with hub_faults(asked, access):
        document = within(LIST_SECONDS, lambda: _asked(asked, access))
        return _listing(repository, asked.revision, document)


def _asked(asked: HubFile, access: HubAccess) -> bytes:
    """The hub's description, as JSON. `HfApi.model_info` would read an answer of any size."""
    address = f"{(access.endpoint or constants.ENDPOINT).rstrip('/')}/api/models/{asked.repository}"
    content = BytesIO()
    with http_stream_backoff(
        "GET",
        f"{address}/revision/{quote(asked.revision, safe='')}",
        params={"blobs": True},
        headers=build_hf_headers(token=access.token),
        timeout=LIST_SECONDS,
        max_retries=0,
    ) as response:
        hf_raise_for_status(response)
        file = bounded(content, max_bytes=MAX_LISTING_BYTES, label=f"the description of {asked.repository}")
        for chunk in response.iter_bytes(chunk_size=1 << 16):
            file.write(chunk)
    return content.getvalue()


def _listing(repository: str, revision: str, document: bytes) -> RepositoryListing:
    """Raises whatever an answer that is none raises."""
    answer = json.loads(document)
    commit, created = answer.get("sha"), answer.get("createdAt")
    card = answer.get("cardData")
    licence = card.get("license") if isinstance(card, dict) else None
    files = (_file(entry) for entry in answer.get("siblings") or ())
    return RepositoryListing(
        repository=repository,
        revision=commit if isinstance(commit, str) else revision,
        # Nothing can be asked for under another name, or put anywhere: it is as if the file were not there.
        files=tuple(file for file in files if is_plain_path(file.path)),
        licence=licence if isinstance(licence, str) and licence.isprintable() else None,
        created=datetime.fromisoformat(created).date() if isinstance(created, str) else None,
    )


def _file(entry: Mapping[str, object]) -> RepositoryFile:
    size, large = entry.get("size"), entry.get("lfs")
    sha256 = large.get("sha256") if isinstance(large, dict) else None
    return RepositoryFile(
        path=str(entry["rfilename"]),
        size_bytes=size if type(size) is int and size >= 0 else None,
        sha256=sha256 if isinstance(sha256, str) and SHA256.fullmatch(sha256) else None,
    )


def is_plain_path(path: str) -> bool:
    """Whether a path leads down from a folder, on every system, and can be shown and written to a disk."""
    parts = path.split("/")
    is_short = len(path.encode("utf-8", "replace")) <= MAX_PATH_BYTES and all(
        len(part.encode("utf-8", "replace")) <= MAX_NAME_BYTES for part in parts
    )
    return is_short and path.isprintable() and not set(path) & set("\\:") and not {"", ".", ".."} & set(parts)


def read_small(
    repository: str, revision: str, path: str, access: HubAccess, *, max_bytes: int = MAX_SMALL_BYTES
) -> bytes:
    """The content of a small file, such as a `config.json`. Raises as `list_files` does."""
    return read_from_hub(HubFile(repository, revision, path), access, max_bytes=max_bytes)
