"""One process at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from gateway.errors import ArtifactError


@contextmanager
def exclusive(lock_file: Path, *, wait: bool = True) -> Iterator[None]:
    """Wait for whoever holds `lock_file`; the operating system frees the lock of a process that was killed.

    Raises `ArtifactError` where the folder cannot be written to, and without `wait` where another one holds it.
    """
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(lock_file)
        lock.acquire(blocking=wait)
    except filelock.Timeout as error:
        raise ArtifactError(f"Another process is at work in {lock_file.parent}.", remedy="Try again later.") from error
    except OSError as error:
        raise ArtifactError(
            f"The folder {lock_file.parent} cannot be written to: {error.strerror or error}.",
            remedy="Check its owner and permissions, and that the disk is neither full nor read-only.",
        ) from error
    try:
        yield
    finally:
        lock.release()
