"""The tensors of a checkpoint, read one at a time from safetensors files of its own folder: never from pickles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from gateway.python_backend.faults import LoadError
from gateway.python_backend.network_config import read_json

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
# Quantised weights have other types, and scales beside them that nothing here would apply.
_PLAIN_TYPES = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor by its name in its file."""

    file: Path
    key: str
    shape: tuple[int, ...]


def weight_files(folder: Path) -> list[Path]:
    """The one file, or the shards that the index names, in the order of their names.

    Raises `LoadError` where there is neither or a shard is missing or has a path.
    """
    if (folder / SINGLE_FILE).is_file():
        return [folder / SINGLE_FILE]
    if not (folder / INDEX_FILE).is_file():
        raise LoadError(f"version folder {folder.name} has neither {SINGLE_FILE} nor {INDEX_FILE}.")
    names = read_json(folder / INDEX_FILE).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise LoadError(f"{INDEX_FILE} names no weights.")
    return [_shard(folder, name) for name in sorted(set(map(str, names.values())))]


def _shard(folder: Path, name: str) -> Path:
    if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
        raise LoadError(f"{INDEX_FILE} names a file that is no safetensors file of its own folder.")
    if not (folder / name).is_file():
        raise LoadError(f"{name} is missing in version folder {folder.name}; {INDEX_FILE} names it.")
    return folder / name


def stored_tensors(files: Sequence[Path]) -> list[StoredTensor]:
    """What the files hold, from their headers alone. Raises `LoadError` for a damaged or quantised one."""
    return [tensor for file in files for tensor in _listed(file)]


def _listed(file: Path) -> Iterator[StoredTensor]:
    try:
        with safe_open(file, framework="pt", device="cpu") as opened:
            for key in opened.keys():  # noqa: SIM118  what is opened is no mapping
                part = opened.get_slice(key)
                if part.get_dtype() not in _PLAIN_TYPES:
                    raise LoadError(f"{file.name} holds {key} as {part.get_dtype()}; only plain floats are read here.")
                yield StoredTensor(file, key, tuple(part.get_shape()))
    except (SafetensorError, OSError) as error:
        raise LoadError(f"{file.name} is no readable safetensors file.") from error


def read_tensors(wanted: Sequence[StoredTensor]) -> Iterator[tuple[StoredTensor, Any]]:
    """Each tensor as stored, one at a time and file by file.

    It lies in the mapped file until it is used: copy it before asking for the next, and keep no reference to it.
    """
    for file in sorted({tensor.file for tensor in wanted}):
        with safe_open(file, framework="pt", device="cpu") as opened:
            for tensor in wanted:
                if tensor.file == file:
                    yield tensor, opened.get_tensor(tensor.key)
