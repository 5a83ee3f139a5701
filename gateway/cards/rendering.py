"""Triton's `config.pbtxt`, written from the card so that the two cannot disagree.

Own code rather than protobuf's text printer: the card layer must not need tritonclient. A test parses the result with
Triton's own message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from gateway.cards.schema import Card, TensorSpec

CONFIG_FILE = "config.pbtxt"
HEADER = "# Rendered from card.toml by `gateway models render`; edit the card."


def config_path(card: Card) -> Path:
    return card.path_of(CONFIG_FILE)


def render_config(card: Card) -> str:
    """The text of `config.pbtxt`.

    `max_batch_size` is 0, so dims are full shapes: the gateway batches. The instance group is always written, because
    Triton's own default on CPU is two instances, each with its own copy of the weights.
    """
    return "\n".join([HEADER, *_lines(card)]) + "\n"


def is_rendered(card: Card) -> bool:
    """Whether the `config.pbtxt` on disk is what the card says today."""
    path = config_path(card)
    return path.is_file() and path.read_text(encoding="utf-8") == render_config(card)


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
