"""A file appears under its final name whole and proved, or not at all.

Bytes go to a temporary name in the same folder, are hashed on the way and reach the disk before the rename, so neither
a kill nor a power cut leaves half a file behind. Real files, never links: ONNX Runtime refuses linked data files.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gateway.errors import ArtifactError

CHUNK_BYTES = 1 << 20
INCOMING_SUFFIX = ".incoming"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file has to be; None where nothing is known. `label` names it in messages, `stated_by` who says so."""

    label: str
    size_bytes: int | None = None
    sha256: str | None = None
    stated_by: str = "the card"


@dataclass(frozen=True, slots=True)
class Content:
    """What a file is."""

    size_bytes: int
    sha256: str


def content_of(path: Path) -> Content:
    """Size and sha256 of a file; reads it whole."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return Content(size_bytes=path.stat().st_size, sha256=digest.hexdigest())


def chunks_of(stream: BinaryIO) -> Iterable[bytes]:
    return iter(lambda: stream.read(CHUNK_BYTES), b"")


def place_chunks(
    chunks: Iterable[bytes],
    destination: Path,
    expected: Expected,
    *,
    origin: str,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Content:
    """Write `chunks` to `destination` if they are what is expected.

    `origin` says in the error message where they came from. Raises `ArtifactError` with both hashes when they are
    wrong, or when the disk refuses; `destination` is untouched then.
    """
    incoming = destination.with_name(f".{destination.name}.{os.getpid()}{INCOMING_SUFFIX}")
    digest, size = hashlib.sha256(), 0
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with incoming.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                on_bytes(len(chunk))
            file.flush()
            os.fsync(file.fileno())
        content = Content(size_bytes=size, sha256=digest.hexdigest())
        check_content(content, expected, origin=origin)
        incoming.replace(destination)
        _sync_folder(destination.parent)
    except OSError as error:
        raise _not_written(destination, expected, error) from error
    finally:
        with suppress(OSError):
            incoming.unlink()
    return content


def place_file(
    staged: Path,
    destination: Path,
    expected: Expected,
    *,
    origin: str,
    before_placing: Callable[[Path], None] = lambda _: None,
) -> Content:
    """Move a downloaded file to `destination` if it is what is expected; copies where the two lie on different disks.

    `before_placing` looks at the staged file once its bytes are proved, and may refuse it by raising `ArtifactError`.
    Raises as `place_chunks` does. A staged file that is wrong is deleted: going on from it would never end well. One
    that is right stays when the disk refuses, so that it need not be fetched again.
    """
    content = content_of(staged)
    try:
        check_content(content, expected, origin=origin)
        before_placing(staged)
    except ArtifactError:
        staged.unlink()
        raise
    try:
        _move(staged, destination)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise _not_written(destination, expected, error) from error
        with staged.open("rb") as stream:
            place_chunks(chunks_of(stream), destination, expected, origin=origin)
        staged.unlink()
    return content


def check_content(content: Content, expected: Expected, *, origin: str) -> None:
    """Raises `ArtifactError` naming the file and what differs."""
    if expected.sha256 is not None and content.sha256 != expected.sha256:
        raise ArtifactError(
            f"{expected.label} from {origin} is not the right file: its sha256 is {content.sha256}, "
            f"{expected.stated_by} says {expected.sha256}. Nothing was installed.",
            remedy="Try again, or try the other source with --from hub or --from index.",
        )
    if expected.size_bytes is not None and content.size_bytes != expected.size_bytes:
        raise ArtifactError(
            f"{expected.label} from {origin} has {content.size_bytes} bytes, {expected.stated_by} says "
            f"{expected.size_bytes}. Nothing was installed.",
            remedy="Try again, or try the other source with --from hub or --from index.",
        )


def sweep_incoming(folder: Path) -> None:
    """Delete what a killed run left under temporary names. Call under the lock that keeps other runs out."""
    for leftover in folder.glob(f".*{INCOMING_SUFFIX}"):
        leftover.unlink(missing_ok=True)


def _move(staged: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    with staged.open("r+b") as file:
        os.fsync(file.fileno())
    staged.replace(destination)
    _sync_folder(destination.parent)


def _not_written(destination: Path, expected: Expected, error: OSError) -> ArtifactError:
    return ArtifactError(
        f"{expected.label} cannot be written to {destination.parent}: {error.strerror or error}.",
        remedy="Make room on the disk and check that the folder can be written to.",
    )


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable. Windows has no such call and does not need it."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
