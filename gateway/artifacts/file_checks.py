"""Whether a model's files are there and are the right bytes, by the card's word or, where it has none, the lock's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.artifacts.building import built_bytes
from gateway.artifacts.completeness import is_as_stated, is_under_way, missing_files, needed_files
from gateway.artifacts.findings import REPAIR, Finding
from gateway.artifacts.graphs.recipe import SERVING
from gateway.artifacts.placing import content_of
from gateway.artifacts.safetensors_header import read_tensors
from gateway.artifacts.shards import SAFETENSORS, check_shards, indexes_of, shards_of
from gateway.artifacts.variants import built_files
from gateway.cards.installation import LOCK_FILE, Installation, LockedFile
from gateway.cards.schema import Card, FileSpec
from gateway.errors import ArtifactError, ConfigurationError


def check_files(card: Card, installation: Installation) -> Iterator[Finding]:
    """One finding a file, and one for the lock where it says that something is missing though the files are right."""
    findings = [_file(card, file, installation.files.get(file.path)) for file in needed_files(card, installation)]
    yield from findings
    if all(finding.ok for finding in findings) and missing_files(card):
        yield _unfinished(card, installation)


def check_serving(card: Card, installation: Installation) -> Iterator[Finding]:
    """Whether the serving graph is what card and published graph make; nothing for a model that has none."""
    for file in built_files(card):
        if file.built_by != SERVING:
            continue
        try:
            data = built_bytes(card, installation.variant)
        except (ArtifactError, ConfigurationError) as error:
            yield Finding("serving", file.path, False, error.message, error.remedy or REPAIR.format(name=card.name))
            continue
        if data != card.path_of(file.path).read_bytes():
            detail = "It is not what the card makes of the published graph."
            yield Finding("serving", file.path, False, detail, REPAIR.format(name=card.name))
        else:
            yield Finding("serving", file.path, True, "It is what the card makes of the published graph.")


def check_weights(card: Card, installation: Installation) -> Iterator[Finding]:
    """Whether safetensors files are such files, and hold what their index says."""
    needed = needed_files(card, installation)
    for file in needed:
        if file.path.endswith(SAFETENSORS):
            yield _weights(card, file.path, lambda file=file: _tensors(card, file))  # type: ignore[misc]
    for index in indexes_of(needed):
        yield _weights(card, index.path, lambda index=index: _indexed(card, index))  # type: ignore[misc]


def _weights(card: Card, path: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding("weights", path, True, check())
    except ArtifactError as error:
        return Finding("weights", path, False, error.message, error.remedy or REPAIR.format(name=card.name))


def _tensors(card: Card, file: FileSpec) -> str:
    return f"It holds {len(read_tensors(card.path_of(file.path)))} tensors."


def _indexed(card: Card, index: FileSpec) -> str:
    check_shards(card, index)
    return f"Its {len(shards_of(card, index))} files hold what it says."


def _file(card: Card, file: FileSpec, locked: LockedFile | None) -> Finding:
    path, repair = card.path_of(file.path), f"gateway models pull {card.name}"
    if not path.is_file():
        return Finding("file", file.path, False, "It is missing.", repair)
    if path.is_symlink() and card.triton.has_graph:
        detail = "It is a symbolic link; ONNX Runtime refuses linked data, so copy or hard-link the file instead."
        return Finding("file", file.path, False, detail, repair)
    try:
        content = content_of(path)
    except OSError as error:
        return Finding("file", file.path, False, f"It cannot be read: {error.strerror}.", "Check its permissions.")
    size, sha256, stated_by = file.size_bytes, file.sha256, "the card"
    if sha256 is None and locked is not None and is_as_stated(card, file, locked):
        size, sha256, stated_by = locked.size_bytes, locked.sha256, "the lock"
    if size is not None and content.size_bytes != size:
        detail = f"It has {content.size_bytes} bytes, {stated_by} says {size}."
        return Finding("file", file.path, False, detail, repair)
    if sha256 is not None and content.sha256 != sha256:
        detail = f"Its sha256 is {content.sha256}, {stated_by} says {sha256}."
        return Finding("file", file.path, False, detail, REPAIR.format(name=card.name))
    return Finding("file", file.path, True, f"{content.size_bytes} bytes, sha256 {content.sha256}")


def _unfinished(card: Card, installation: Installation) -> Finding:
    if is_under_way(installation):
        detail = "An installation has not come to its end, so it is not certain that the files belong together."
    elif not installation.files:
        detail = "It is missing, and without it nobody knows whether these are the right files."
    else:
        detail = "It is of another state of the card."
    return Finding("lock", LOCK_FILE, False, detail, f"gateway models pull {card.name}")
