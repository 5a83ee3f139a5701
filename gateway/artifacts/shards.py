"""Weights in several safetensors files: which these are, by the index that names them, and whether they hold what it
says. The index comes from outside, and what it names is put beside it, so its words are checked one by one.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from gateway.artifacts.safetensors_header import read_tensors
from gateway.cards.schema import Card, FileSpec
from gateway.errors import ArtifactError

# Some hundred bytes a tensor; a model of 1000 tensors has an index of 100 kB.
MAX_INDEX_BYTES = 16 << 20
MAX_SHARDS = 512
SAFETENSORS = ".safetensors"
INDEX_ENDING = ".index.json"

# A file beside the index, of a kind that holds numbers and nothing that could be run.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}\.safetensors")
_REMEDY = "Try again, or tell the repository's authors."


def indexes_of(files: Iterable[FileSpec]) -> tuple[FileSpec, ...]:
    return tuple(file for file in files if file.lists_shards)


def single_file(index: FileSpec) -> FileSpec:
    """The file that holds all weights in a repository without this index."""
    return FileSpec(
        path=index.path.removesuffix(INDEX_ENDING),
        hub_path=index.hub_path.removesuffix(INDEX_ENDING) if index.hub_path else None,
        variant=index.variant,
    )


def shards_of(card: Card, index: FileSpec, path: Path | None = None) -> tuple[FileSpec, ...]:
    """The files that an index, read from `path` or from its place, names; in order. What the card says of one counts.

    Raises `ArtifactError` as `read_index` does.
    """
    names = sorted(set(read_index(path or card.path_of(index.path)).values()))
    listed = {file.path: file for file in card.files}
    shards = (_beside(index, name) for name in names)
    return tuple(listed.get(shard.path, shard) for shard in shards)


def shards_on_disk(card: Card, index: FileSpec) -> tuple[FileSpec, ...]:
    """As `shards_of`; none where there is no index yet, or none that can be read."""
    try:
        return shards_of(card, index)
    except ArtifactError:
        return ()


def read_index(path: Path) -> Mapping[str, str]:
    """The file of each tensor. Raises `ArtifactError` where it cannot be read, is too large, or names what no file
    beside it may be called."""
    weights = _weight_map(path)
    if not isinstance(weights, dict) or not weights:
        raise ArtifactError("The index of the weights has no weight_map.", remedy=_REMEDY)
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in weights.values()):
        raise ArtifactError(f"The index names weights in what is no {SAFETENSORS} file beside it.", remedy=_REMEDY)
    if len(set(weights.values())) > MAX_SHARDS:
        raise ArtifactError(f"The index names more than {MAX_SHARDS} files.", remedy=_REMEDY)
    return weights


def _weight_map(path: Path) -> object:
    try:
        check_index_size(path.stat().st_size)
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"The index of the weights cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError("The index of the weights is not JSON.", remedy=_REMEDY) from error
    return document.get("weight_map") if isinstance(document, dict) else None


def check_index_size(byte_count: int) -> None:
    """Raises `ArtifactError` for an index that is too large to be read."""
    if byte_count > MAX_INDEX_BYTES:
        raise ArtifactError(
            f"The index of the weights has {byte_count} bytes; at most {MAX_INDEX_BYTES} are read.", remedy=_REMEDY
        )


def check_staged(card: Card, file: FileSpec, staged: Path) -> None:
    """Whether a file that is about to get its name is of the kind that its name says. Raises `ArtifactError`."""
    label = f"{file.path} of {card.name}"
    if file.lists_shards:
        try:
            shards_of(card, file, staged)
        except ArtifactError as error:
            raise ArtifactError(f"{label} is refused. {error.message}", remedy=error.remedy) from error
    elif file.path.endswith(SAFETENSORS):
        try:
            read_tensors(staged)
        except ArtifactError as error:
            # The error names the file by where it lies for now.
            raise ArtifactError(f"{label} is refused: it is no whole safetensors file.", remedy=_REMEDY) from error


def check_shards(card: Card, index: FileSpec) -> None:
    """Whether each tensor is in the file that the index says; reads the files' headers.

    Raises `ArtifactError` naming the file that is not what the index says, or is no safetensors file.
    """
    wanted: dict[str, set[str]] = defaultdict(set)
    for tensor, name in read_index(card.path_of(index.path)).items():
        wanted[name].add(tensor)
    for name, tensors in sorted(wanted.items()):
        shard = _beside(index, name)
        absent = tensors - read_tensors(card.path_of(shard.path)).keys()
        if absent:
            raise ArtifactError(
                f"{shard.path} of {card.name} lacks {len(absent)} of the tensors that {index.path} says it has.",
                remedy=f"gateway models pull {card.name} --verify",
            )


def _beside(index: FileSpec, name: str) -> FileSpec:
    hub_path = str(PurePosixPath(index.hub_path).with_name(name)) if index.hub_path else None
    shard = FileSpec(path=str(PurePosixPath(index.path).with_name(name)), variant=index.variant)
    return replace(shard, hub_path=hub_path)
