"""Where a graph keeps its weights, and whether that is inside its own folder.

ONNX Runtime refuses data outside the folder, reached over `..` or a link, from 1.24.1 on. Run on 1.20.1, 1.24.1,
1.24.4, 1.27.0 and 1.31.1: all of them read subfolders, hard links and any offset, inside another .onnx file too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from onnx import ModelProto, TensorProto

from gateway.artifacts.graphs.published_graph import entries_of, external_tensors, read_published
from gateway.errors import ArtifactError

# Stands for the graph's own file, which no other file can be called.
_OWN = "."


def data_files(graph: Path) -> tuple[str, ...]:
    """The files that a graph keeps weights in beside its own, relative to its folder, sorted.

    Raises `ArtifactError` for a file that is no graph, and for one that keeps them outside its folder.
    """
    model = read_published(graph, own_name=_OWN)
    locations = {location for tensor in external_tensors(model.graph) for location in _locations(tensor)} - {_OWN}
    for location in sorted(locations):
        if not is_inside(location):
            raise ArtifactError(
                f"It keeps weights at {location!r}, outside its own folder. Nothing was installed.",
                remedy="Do not use this repository: a graph like that reads files that are none of its business.",
            )
    return tuple(sorted(locations))


def _locations(tensor: TensorProto) -> list[str]:
    """All that it states: readers differ in which of several they take."""
    return [entry.value for entry in tensor.external_data if entry.key.lower() == "location"]


def is_inside(location: str) -> bool:
    """Whether a location is a plain path below the graph's folder, on every system."""
    parts = PurePosixPath(location).parts
    return bool(parts) and not location.startswith("/") and ".." not in parts and not set(location) & set("\\:\0")


def data_faults(folder: Path, model: ModelProto) -> Iterator[str]:
    """What is wrong with the data that a graph in `folder` points at, one sentence without its full stop each."""
    for tensor in external_tensors(model.graph):
        yield from _faults(folder, tensor)


def _faults(folder: Path, tensor: TensorProto) -> Iterator[str]:
    entries = entries_of(tensor)
    location = entries.get("location", "")
    if not is_inside(location):
        yield f"Tensor {tensor.name} points outside the model's folder"
        return
    data = folder / location
    if any(path.is_symlink() for path in _below(folder, data)):
        yield f"{location} is a symbolic link, which ONNX Runtime refuses: put a copy or a hard link in its place"
        return
    try:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", "-1"))
        size = data.stat().st_size
    except (OSError, ValueError):
        yield f"Tensor {tensor.name} needs {location}, which cannot be read"
        return
    end = offset + max(length, 0)
    if offset < 0 or end > size:
        yield f"Tensor {tensor.name} ends at byte {end} of {location}, which has {size}"


def _below(folder: Path, path: Path) -> Iterable[Path]:
    """`path` and the folders above it, as far as `folder`, which is left out."""
    while path != folder:
        yield path
        path = path.parent
