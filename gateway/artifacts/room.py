"""Whether a disk has room for what is to be downloaded: asked before gigabytes are on their way."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.artifacts.hub import partial_path
from gateway.artifacts.hub_access import HubAccess, HubFile
from gateway.artifacts.hub_repository import list_files
from gateway.cards.schema import Card, FileSpec
from gateway.errors import ArtifactError, SourceUnavailable


def published_sizes(card: Card, files: Sequence[FileSpec], *, revision: str, access: HubAccess) -> dict[str, int]:
    """How many bytes each of `files` has, by its path, as far as the hub tells; empty where it is away."""
    try:
        listing = list_files(card.repository, revision, access)
    except SourceUnavailable:
        return {}
    found = {file.path: listing.find(file.hub_path or "") for file in files}
    return {path: one.size_bytes for path, one in found.items() if one is not None and one.size_bytes is not None}


def bytes_there(card: Card, files: Sequence[FileSpec], *, commit: str, staging: Path) -> dict[str, int]:
    """How many bytes of each of `files` an earlier run has left in `staging`."""
    partials = {
        file.path: partial_path(HubFile(card.repository, commit, file.hub_path), staging)
        for file in files
        if file.hub_path is not None
    }
    return {path: partial.stat().st_size for path, partial in partials.items() if partial.is_file()}


def check_room(name: str, sizes: Mapping[str, int], there: Mapping[str, int], *, models: Path, staging: Path) -> None:
    """`sizes` are the bytes of the files that are wanted, `there` how many of each lie in `staging` already.

    A file is moved from `staging` into `models`, which may be another disk: then each needs room of its own. Raises
    `ArtifactError` naming the folder whose disk is too small.
    """
    staging.mkdir(parents=True, exist_ok=True)
    missing = {path: max(size - there.get(path, 0), 0) for path, size in sizes.items()}
    if staging.stat().st_dev == models.stat().st_dev:
        _demand(name, models, sum(missing.values()))
    else:
        _demand(name, models, sum(sizes.values()))
        _demand(name, staging, max(missing.values(), default=0))


def _demand(name: str, folder: Path, byte_count: int) -> None:
    free = shutil.disk_usage(folder).free
    if byte_count > free:
        raise ArtifactError(
            f"{name} needs {byte_count / 1e9:.1f} GB more on the disk of {folder}, which has {free / 1e9:.1f} GB free.",
            remedy="Make room, or set GATEWAY_MODEL_REPOSITORY and GATEWAY_RUN_FOLDER to folders on a larger disk.",
        )
