"""What Triton reads beside the weights, written from the card so that the two cannot disagree: `config.pbtxt`, and for
a model of the Python backend the `model.py` that all of these share.

Own code rather than protobuf's text printer: the card layer must not need tritonclient. A test parses the result with
Triton's own message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.cards.schema import VERSION_FOLDER, Card
from gateway.cards.triton_spec import TensorSpec

CONFIG_FILE = "config.pbtxt"
HEADER = "# Rendered from card.toml by `gateway models render`; edit the card."

# Thin on purpose: weights lie beside it, and what it does has tests of its own.
MODEL_CODE = '''"""Triton's Python backend loads this file; what it does lies in `gateway.python_backend`."""

import sys

# The folder that Triton was started in comes first, and torch would take a folder `triton` in there for a package.
sys.path[:] = filter(None, sys.path)

from gateway.python_backend.serving import TritonPythonModel  # noqa: E402

__all__ = ["TritonPythonModel"]
'''


def config_path(card: Card) -> Path:
    return card.path_of(CONFIG_FILE)


def rendered_files(card: Card) -> Mapping[Path, str]:
    """Every file that is written from the card, with its text."""
    files = {config_path(card): render_config(card)}
    if not card.triton.has_graph:
        files[card.path_of(f"{VERSION_FOLDER}/{card.triton.default_model_filename}")] = MODEL_CODE
    return files


def stale_files(card: Card) -> tuple[Path, ...]:
    """Those of them that are not on disk as the card says today."""
    return tuple(path for path, text in rendered_files(card).items() if not _has_text(path, text))


def write_rendered(card: Card) -> tuple[Path, ...]:
    """Write what is stale; returns which files those were."""
    stale = stale_files(card)
    for path in stale:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(rendered_files(card)[path], encoding="utf-8", newline="\n")
    return stale


def render_config(card: Card) -> str:
    """The text of `config.pbtxt`.

    `max_batch_size` is 0, so dims are full shapes: the gateway batches. The instance group is always written, because
    Triton's own default on CPU is two instances, each with its own copy of the weights.
    """
    return "\n".join([HEADER, *_lines(card)]) + "\n"


def _has_text(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _lines(card: Card) -> Iterator[str]:
    triton = card.triton
    yield f"name: {_quoted(card.name)}"
    yield f"backend: {_quoted(triton.backend)}"
    yield f"default_model_filename: {_quoted(triton.default_model_filename)}"
    yield "max_batch_size: 0"
    yield from _tensors("input", [graph_input.tensor for graph_input in triton.inputs])
    yield from _tensors("output", [graph_output.tensor for graph_output in triton.outputs])
    yield from ("instance_group [", f"  {{ count: {triton.instance_count}, kind: {triton.instance_kind} }}", "]")
    for key, value in sorted(triton.parameters.items()):
        yield from ("parameters {", f"  key: {_quoted(key)}", f"  value: {{ string_value: {_quoted(value)} }}", "}")


def _tensors(field: str, tensors: list[TensorSpec]) -> Iterator[str]:
    yield f"{field} ["
    for position, tensor in enumerate(tensors, start=1):
        dims = ", ".join(map(str, tensor.dims))
        comma = "," if position < len(tensors) else ""
        optional = ", optional: true" if tensor.optional else ""
        yield f"  {{ name: {_quoted(tensor.name)}, data_type: {tensor.data_type}, dims: [ {dims} ]{optional} }}{comma}"
    yield "]"


def _quoted(text: str) -> str:
    """A protobuf text string; JSON's escapes for ASCII output are a subset of protobuf's."""
    return json.dumps(text)
