"""Files from the model hub, through huggingface_hub's own transfer.

`hf_hub_download` forgets a partial file when the process ends, so the partial file is kept here and handed to the same
library's `http_get` with the size to go on from.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.file_download import HfFileMetadata, http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # exported lazily

from gateway.artifacts import hub_access
from gateway.artifacts.bounded import bounded
from gateway.artifacts.hub_access import HubAccess, HubFile, check_endpoint, hub_faults, within
from gateway.artifacts.placing import Content, Expected, check_content, place_file
from gateway.artifacts.progress import Progress, SilentProgress
from gateway.errors import SourceUnavailable

# Of a file whose size nobody says beforehand, no more than this is taken.
MAX_UNANNOUNCED_BYTES = 1 << 30

# The etag of a large file is its sha256; a small one's is git's sha1.
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubMetadata:
    """What the hub says about a file before it sends it. `commit` is what the asked revision stands for; `sha256` is
    None where the hub does not give it."""

    location: str
    commit: str | None
    size_bytes: int | None
    sha256: str | None


def fetch_from_hub(
    file: HubFile,
    destination: Path,
    expected: Expected,
    *,
    access: HubAccess,
    staging: Path,
    progress: Progress,
    before_placing: Callable[[Path], None] = lambda _: None,
) -> Content:
    """Download one file to `destination`, going on from what an earlier run left in `staging`.

    `before_placing` is as in `place_file`. The hub's own word on size and hash counts where nothing else is expected.
    Raises `SourceUnavailable` when the hub is away or does not give the file, `ArtifactError` when it gives another one
    than expected.
    """
    metadata = file_metadata(file, access)
    known = _known(expected, metadata)
    staging.mkdir(parents=True, exist_ok=True)
    # Of the commit rather than the branch: what a branch held yesterday is no beginning of what it holds today.
    partial = partial_path(replace(file, revision=metadata.commit or file.revision), staging)
    with hub_faults(file, access):
        headers = _headers(file, metadata, access)
        _transfer(metadata, partial, known, headers=headers, progress=progress)
    return place_file(partial, destination, known, origin="the hub", before_placing=before_placing)


def partial_path(file: HubFile, staging: Path) -> Path:
    """Where what is there of a download lies. `file.revision` is a commit."""
    name = hashlib.sha256(f"{file.repository}@{file.revision}/{file.path}".encode()).hexdigest()[:32]
    return staging / f"{name}.partial"


def _known(expected: Expected, metadata: HubMetadata) -> Expected:
    """What is expected, filled up with what the hub says. Raises where the two differ, before gigabytes are fetched."""
    if metadata.sha256 is not None and metadata.size_bytes is not None:
        check_content(Content(metadata.size_bytes, metadata.sha256), expected, origin="the hub")
    if expected.size_bytes is None and expected.sha256 is None:
        return Expected(expected.label, metadata.size_bytes, metadata.sha256, stated_by="its listing")
    return replace(expected, size_bytes=expected.size_bytes or metadata.size_bytes)


def file_metadata(file: HubFile, access: HubAccess) -> HubMetadata:
    """Where the file lies, how large it is, and the commit; within `hub_access.REACH_SECONDS`.

    Raises `NotOnHub` where the hub has no such file, `SourceUnavailable` where it does not answer or refuses.
    """
    check_endpoint(access)
    with hub_faults(file, access):
        return within(hub_access.REACH_SECONDS, lambda: _metadata_of(_ask(file, access)))


def read_from_hub(file: HubFile, access: HubAccess, *, max_bytes: int) -> bytes:
    """A small file's content, in memory. Raises as `file_metadata` does, and `SourceUnavailable` for a larger one."""
    metadata = file_metadata(file, access)
    if (metadata.size_bytes or 0) > max_bytes:
        raise SourceUnavailable(f"{file.path} of {file.repository} has {metadata.size_bytes} bytes, too many to read.")
    content = BytesIO()
    with hub_faults(file, access):
        http_get(
            metadata.location,
            bounded(content, max_bytes=max_bytes, label=file.path),
            headers=_headers(file, metadata, access),
            expected_size=metadata.size_bytes,
            displayed_filename=file.path,
            tqdm_class=_bar(SilentProgress()),
        )
    return content.getvalue()


def _ask(file: HubFile, access: HubAccess) -> HfFileMetadata:
    return get_hf_file_metadata(
        _url(file, access), token=access.token, timeout=hub_access.REACH_SECONDS, endpoint=access.endpoint
    )


def _metadata_of(answer: HfFileMetadata) -> HubMetadata:
    sha256 = answer.etag if answer.etag is not None and SHA256.fullmatch(answer.etag) else None
    size = answer.size if answer.size is not None and answer.size >= 0 else None
    return HubMetadata(location=answer.location, commit=answer.commit_hash, size_bytes=size, sha256=sha256)


def _transfer(
    metadata: HubMetadata, partial: Path, expected: Expected, *, headers: dict[str, str], progress: Progress
) -> None:
    size = expected.size_bytes
    done = partial.stat().st_size if partial.exists() else 0
    if size is not None and done > size:
        partial.unlink()
        done = 0
    progress.begin(expected.label, total_bytes=size, done_bytes=done)
    try:
        with partial.open("ab") as file:
            http_get(
                metadata.location,
                bounded(file, max_bytes=MAX_UNANNOUNCED_BYTES if size is None else size, label=expected.label),
                resume_size=done,
                headers=headers,
                expected_size=size,
                displayed_filename=expected.label,
                tqdm_class=_bar(progress),
            )
    finally:
        progress.end()


def _bar(progress: Progress) -> Any:
    """What huggingface_hub uses of a tqdm class; this one draws nothing and passes the counts on."""

    class ForwardingBar:
        def __init__(self, **_: object) -> None: ...

        def __enter__(self) -> ForwardingBar:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, byte_count: int) -> None:
            progress.advance(byte_count)

    return ForwardingBar


def _url(file: HubFile, access: HubAccess) -> str:
    return hf_hub_url(file.repository, file.path, revision=file.revision, endpoint=access.endpoint)


def _headers(file: HubFile, metadata: HubMetadata, access: HubAccess) -> dict[str, str]:
    """The token goes to the hub alone, never to the storage host that it redirects to."""
    given, own = urlsplit(metadata.location), urlsplit(_url(file, access))
    is_own = (given.scheme, given.netloc) == (own.scheme, own.netloc)
    return build_hf_headers(token=access.token if is_own else False)
