"""Everything derived from a repository, before any of it is written: the values of a card, each with its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from gateway.artifacts.adding.outputs import VectorSource
from gateway.artifacts.adding.published import Fact
from gateway.cards.schema import VERSION_FOLDER, TaskTable
from gateway.cards.triton_spec import GraphInput, GraphOutput

# In the model folder. Names that published files must not take.
TOKENIZER_FILE = "tokenizer.json"
SERVING_FILE = "serving.onnx"
BUILT_FILE = "model.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddOptions:
    """What the operator states; None where the repository is to say. `file` and `variant` choose an ONNX file,
    `pooling` is one of `gateway.vectors.pooling.POOLINGS`."""

    revision: str | None = None
    name: str | None = None
    file: str | None = None
    variant: str | None = None
    pooling: str | None = None
    max_tokens: int | None = None
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """What of a card is about its graph, whichever way that graph is come by.

    `published` maps names in the model's version folder to paths in the repository. `builder`, `weights` and
    `config` are those of a card's graph section, `built` is the name of what it builds. `variant` is the
    word for the file's precision. `source` says how a vector comes about.
    """

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`tokenizer` is its path in the repository. `notes` are sentences about what an operator has to know."""

    name: str
    hub_id: str
    repository: str
    revision: Fact[str]
    licence: Fact[str]
    released: Fact[date]
    tokenizer: str
    max_tokens: Fact[int]
    pad_id: Fact[int]
    graph: GraphPlan
    matryoshka: Fact[tuple[int, ...]]
    tasks: Fact[TaskTable]
    notes: tuple[str, ...] = ()

    @property
    def published(self) -> dict[str, str]:
        """What is fetched: paths in the model folder, and those in the repository."""
        files = {TOKENIZER_FILE: self.tokenizer, **self.graph.published}
        return {f"{VERSION_FOLDER}/{name}": hub_path for name, hub_path in files.items()}

    @property
    def summary(self) -> str:
        size = self.graph.source.dimensions.value
        return f"Embeddings by {self.repository}, {size} dimensions, up to {self.max_tokens.value} tokens."

    def facts(self) -> Iterator[tuple[str, Fact[str]]]:
        """What was derived, in words, in the order of a card."""
        source, table = self.graph.source, self.tasks.value
        yield "revision", self.revision
        yield "licence", self.licence
        yield "graph", self.graph.file
        yield "inputs", Fact(", ".join(one.tensor.name for one in self.graph.inputs), self.graph.file.value)
        yield "vectors from", Fact(source.output.name, self.graph.file.value)
        yield "pooling", source.pooling
        yield "dimensions", Fact(str(source.dimensions.value), source.dimensions.source)
        if self.matryoshka.value:
            yield "may be cut to", Fact(", ".join(map(str, self.matryoshka.value)), self.matryoshka.source)
        yield "window", Fact(f"{self.max_tokens.value} tokens", self.max_tokens.source)
        yield "padding id", Fact(str(self.pad_id.value), self.pad_id.source)
        yield "tasks", Fact(", ".join(task.name for task in table.tasks) or "none", self.tasks.source)
        if table.tasks:
            yield "default task", Fact(table.default or "none: bare text", self.tasks.source)
