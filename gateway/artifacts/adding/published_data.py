"""The files beside an ONNX graph that hold its weights. They have to lie in its own folder: a graph could otherwise
make the server read any file of the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import onnx

from gateway.artifacts.adding.published import Published
from gateway.artifacts.adding.refusal import TELL_AUTHORS, CannotServe
from gateway.artifacts.graphs.external_data import is_inside
from gateway.artifacts.graphs.published_graph import entries_of, external_tensors


def data_locations(model: onnx.ModelProto, path: str, published: Published) -> tuple[str, ...]:
    """The data files of the graph at `path`, relative to its folder, which the repository has to have.

    `model` is the graph as `read_published` gives it. Raises `CannotServe` for a file that is missing, too short, or
    elsewhere.
    """
    folder, own_name = PurePosixPath(path).parent, PurePosixPath(path).name
    ends: dict[str, int] = {}
    for location, end in _places(model):
        ends[location] = max(end, ends.get(location, 0))
    ends.pop(own_name, None)
    for location, end in ends.items():
        _check_inside(location, path)
        _check_there((folder / location).as_posix(), end, path, published)
    return tuple(PurePosixPath(location).as_posix() for location in sorted(ends))


def _places(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    """Each external tensor's file, and where in it the tensor ends."""
    for tensor in external_tensors(model.graph):
        entries = entries_of(tensor)
        try:
            yield entries.get("location", ""), int(entries.get("offset", "0")) + int(entries.get("length", "0"))
        except ValueError:
            raise CannotServe(
                f"The weight {tensor.name} does not say where in its data file it lies.", remedy=TELL_AUTHORS
            ) from None


def _check_inside(location: str, path: str) -> None:
    if not is_inside(location):
        raise CannotServe(
            f"{path} wants weights from {location!r}, which is outside its own folder. Such a graph could read any "
            "file of the machine that serves it, so it is not added.",
            remedy="Save it again with its external data in one file beside it, and publish that.",
        )


def _check_there(path: str, end: int, graph: str, published: Published) -> None:
    if not published.has(path):
        raise CannotServe(f"{graph} needs {path}, which the repository does not have.", remedy=TELL_AUTHORS)
    size = published.size_of(path)
    if size is not None and size < end:
        raise CannotServe(
            f"{graph} needs {end} bytes of {path}, which has {size}: it is cut short, or only points to another file.",
            remedy=TELL_AUTHORS,
        )
