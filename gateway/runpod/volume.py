"""A network volume as the model folder: what a worker has pulled there, all later ones find.

Cards and configurations come with the image and are brought up to date on the volume at every start; weights stay.
"""

from __future__ import annotations

import contextlib
import filecmp
import logging
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from gateway.cards.schema import VERSION_FOLDER
from gateway.errors import ArtifactError

# Where the platform mounts it in a serverless worker.
VOLUME = Path("/runpod-volume")

_log = logging.getLogger(__name__)

_SHIPPED = ("card.toml", "config.pbtxt", f"{VERSION_FOLDER}/*.py")


def is_usable(volume: Path) -> bool:
    """Whether it is mounted and may be written to; a line in the log where only the latter fails."""
    if not volume.is_dir():
        return False
    if not os.access(volume, os.W_OK):
        _log.warning(
            "the network volume cannot be written to, so models are pulled into the container",
            extra={"volume": str(volume)},
        )
        return False
    return True


def downloads_on(volume: Path) -> Path:
    """For what is half done, on the same disk as the models."""
    return volume / "gateway" / "downloads"


def repository_on(volume: Path, *, shipped: Path) -> Path:
    """The model repository on `volume`, with the cards of the one that came with the image, `shipped`.

    Several workers may do this at the same time. Raises `ArtifactError` where the volume is full or cannot be written.
    """
    repository = volume / "gateway" / "model_repository"
    try:
        repository.mkdir(parents=True, exist_ok=True)
        for file in _small_files(shipped):
            _bring(file, repository / file.relative_to(shipped))
    except OSError as error:
        raise ArtifactError(
            f"The network volume {volume} cannot be written to: {error.strerror or error}.",
            remedy="Mend its rights or make room on it, or start the worker without it.",
        ) from None
    return repository


def _small_files(shipped: Path) -> Iterator[Path]:
    for pattern in _SHIPPED:
        yield from shipped.glob(f"*/{pattern}")


def _bring(source: Path, target: Path) -> None:
    """Atomic, so that no other worker reads half a card."""
    with contextlib.suppress(FileNotFoundError):
        if filecmp.cmp(source, target, shallow=False):
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{platform.node()}.{os.getpid()}")
    shutil.copyfile(source, draft)
    draft.replace(target)
