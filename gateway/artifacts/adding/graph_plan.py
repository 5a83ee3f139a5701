"""What of a card is about its graph, whichever way that graph is come by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.artifacts.adding.outputs import VectorSource
from gateway.artifacts.adding.published import Fact
from gateway.cards.schema import GraphInput, GraphOutput

# In the model folder. Names that published files must not take.
VERSION_FOLDER = "1"
TOKENIZER_FILE = "tokenizer.json"
SERVING_FILE = "serving.onnx"
BUILT_FILE = "model.onnx"


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """`published` maps names in the model's version folder to paths in the repository. `builder`, `weights` and
    `config` are those of a card's graph section, `built` is the name of what it builds. `variant` is the
    word for the file's precision. `source` says how a vector comes about."""

    file: Fact[str]
    published: Mapping[str, str]
    builder: str
    built: str
    config: Mapping[str, object]
    inputs: tuple[GraphInput, ...]
    outputs: tuple[GraphOutput, ...]
    source: VectorSource
    weights: str | None = None
    variant: str | None = None
