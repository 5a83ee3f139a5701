"""A model as Triton has it: its backend, and its tensors by what the gateway puts into them and reads from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

# The types a graph input can have, and NumPy's words for them.
INPUT_TYPES: Mapping[str, str] = {"TYPE_INT64": "int64", "TYPE_INT32": "int32", "TYPE_UINT8": "uint8"}

# The backend of models that are no ONNX graph: Triton runs their `model.py`.
PYTHON_BACKEND = "python"


class InputRole(Enum):
    """What the gateway feeds into a graph input. Inputs are bound by name; their order differs between exports.

    ADAPTER is the number of the task's adapter, one for a whole call; its graph input is of rank 0, which a config
    with `max_batch_size: 0` writes as dims [1].

    A model that has ROW_LENGTHS takes its rows unpadded, one after the other: TOKEN_IDS is then of rank 1, and the rest
    of these roles are its inputs. ROW_ADAPTERS has an adapter a row. PIXELS are the images' bytes, row after row, and
    IMAGE_SIZES [rows, 2] their heights and widths, zeros for a text. SPANS [spans, 2] are half-open token ranges within
    their rows, and SPAN_COUNTS says how many each row has. All four of these are optional inputs.
    """

    TOKEN_IDS = "token_ids"
    ATTENTION_MASK = "attention_mask"
    TOKEN_TYPE_IDS = "token_type_ids"
    POSITION_IDS = "position_ids"
    ADAPTER = "adapter"
    ROW_LENGTHS = "row_lengths"
    ROW_ADAPTERS = "row_adapters"
    PIXELS = "pixels"
    IMAGE_SIZES = "image_sizes"
    SPANS = "spans"
    SPAN_COUNTS = "span_counts"


class OutputRole(Enum):
    """What a graph output holds. Stated by the card, never derived from a shape.

    The last three are those of a model that takes rows unpadded: sums of hidden states over the spans [spans, size],
    a vector a token of all rows [tokens, token size], and a `ROW_OK` or another of these numbers a row.
    """

    SENTENCE_EMBEDDING = "sentence_embedding"
    TOKEN_EMBEDDINGS = "token_embeddings"
    LOGIT = "logit"
    SPAN_SUMS = "span_sums"
    TOKEN_VECTORS = "token_vectors"
    ROW_STATUS = "row_status"


# What ROW_STATUS says of a row: its values are there, or it did not fit into the device's memory.
ROW_OK = 0
ROW_OUT_OF_MEMORY = 1

# Axes of each output: rows, for token vectors tokens, and numbers.
OUTPUT_RANKS: Mapping[OutputRole, int] = {
    OutputRole.SENTENCE_EMBEDDING: 2,
    OutputRole.TOKEN_EMBEDDINGS: 3,
    OutputRole.LOGIT: 2,
    OutputRole.SPAN_SUMS: 2,
    OutputRole.TOKEN_VECTORS: 2,
    OutputRole.ROW_STATUS: 1,
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A graph input or output as Triton's config states it: full dims (max_batch_size is 0), -1 where symbolic. An
    `optional` input may be left out of a call."""

    name: str
    data_type: str
    dims: tuple[int, ...]
    optional: bool = False


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

    def input(self, role: InputRole) -> GraphInput | None:
        """The input with this role, or None where the graph has none."""
        return next((graph_input for graph_input in self.inputs if graph_input.role is role), None)

    def output(self, role: OutputRole) -> GraphOutput | None:
        """The output with this role, or None where the graph has none."""
        return next((output for output in self.outputs if output.role is role), None)

    @property
    def has_graph(self) -> bool:
        """Whether Triton loads an ONNX graph, and not code that reads the weights as they are published."""
        return self.backend != PYTHON_BACKEND

    @property
    def takes_rows_unpadded(self) -> bool:
        """Whether a call's rows are sent one after the other, without padding."""
        return self.input(InputRole.ROW_LENGTHS) is not None

    @property
    def embedding_output(self) -> GraphOutput | None:
        """The output that vectors are made from: the graph's own pooled one where it has one, else token vectors."""
        return self.output(OutputRole.SENTENCE_EMBEDDING) or self.output(OutputRole.TOKEN_EMBEDDINGS)
