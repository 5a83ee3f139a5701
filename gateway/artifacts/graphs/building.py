"""Writing the graph that a card's `[graph]` section asks for. Another architecture is another entry in `BUILDERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import onnx

from gateway.artifacts.graphs.bert import build_bert
from gateway.artifacts.safetensors_header import read_tensors
from gateway.cards.schema import GraphSpec
from gateway.errors import ConfigurationError

Builder = Callable[..., onnx.ModelProto]

BUILDERS: Mapping[str, Builder] = {"bert": build_bert}


def build_graph(spec: GraphSpec, weights: Path) -> bytes:
    """The ONNX file for the safetensors file `weights`; the same bytes for the same input.

    The graph names the weights by file name alone, so the two have to lie in the same folder.
    Raises `ConfigurationError` or `ArtifactError` when spec and weights do not fit.
    """
    builder = BUILDERS.get(spec.builder)
    if builder is None:
        raise ConfigurationError(f"graph.builder is {spec.builder!r}; known builders: {', '.join(sorted(BUILDERS))}.")
    model = builder(read_tensors(weights), spec.config, weights_location=weights.name)
    return bytes(model.SerializeToString(deterministic=True))
