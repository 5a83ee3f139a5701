"""Whether a model's files are all there: the cheap question, asked at every start."""

from __future__ import annotations

from gateway.cards.installation import read_installation
from gateway.cards.schema import Card, FileSpec


def is_complete(card: Card) -> bool:
    """Whether every file is present at its size. Reads no contents; `verification.verify` does that."""
    return not missing_files(card)


def missing_files(card: Card) -> tuple[FileSpec, ...]:
    """The files that are absent or of the wrong size."""
    files = card.files_of(read_installation(card).variant)
    return tuple(file for file in files if not has_size(card, file))


def has_size(card: Card, file: FileSpec) -> bool:
    try:
        status = card.path_of(file.path).stat()
    except OSError:
        return False
    return status.st_size == file.size_bytes if file.size_bytes is not None else status.st_size > 0
