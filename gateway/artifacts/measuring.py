"""What only running the installed files can tell: that the graph made here pools rightly, what the canary's vector is,
and whether a text's vector is the same whoever shares its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto

from gateway.artifacts.graphs.published_graph import nested_graphs, read_published
from gateway.artifacts.graphs.serving import published_names
from gateway.artifacts.inference import Array, Batch, GraphRun, padded, unit
from gateway.cards.schema import Card
from gateway.cards.triton_spec import OutputRole
from gateway.errors import ArtifactError
from gateway.text.canary_row import canary_row
from gateway.text.tokenizer import TextTokenizer
from gateway.types import Float64Array, Int64Array
from gateway.vectors.pooling import POOLINGS

# How many of the canary's values are kept: enough to tell any two models and variants apart.
KEPT_VALUES = 16

# Larger than any text that is read here: it is read whole.
MAX_TEXT_BYTES = 1 << 20

# Between a float32 graph's vectors and the same computed elsewhere; between those of one that computes in less.
FULL_TOLERANCE = 1e-5
REDUCED_TOLERANCE = 1e-3

# They scale by the largest value of the whole batch, so that a row's result depends on its neighbours.
MIXING_OPERATORS = frozenset(
    {
        "DynamicQuantizeLinear",
        "DynamicQuantizeMatMul",
        "DynamicQuantizeLSTM",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "ConvInteger",
        "QAttention",
    }
)
_REDUCING_OPERATORS = MIXING_OPERATORS | {"QuantizeLinear", "DequantizeLinear", "MatMulNBits", "MatMulBnb4", "QMoE"}
_REDUCED_TYPES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)

# Of different lengths, so that all but one are padded.
_TEXTS = (
    "Hello",
    "A somewhat longer sentence, with numbers such as 3.14 and a few words more, stands beside the short one.",
    "Zwei Häuser, drei Türme.",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """`canary` holds the first values of the canary's unit vector, or its score. `spread` is the largest difference
    that sharing a batch made to a value, `size` how many values a text's result has."""

    canary: tuple[float, ...]
    size: int
    batch_invariant: bool
    spread: float


def measure(
    card: Card, serving: Path, *, published: Path | None, on_step: Callable[[str], None] = lambda _: None
) -> Measured:
    """Run the graph that will serve, and compare it with the published one where it was made from that. Each can take
    long; `on_step` is told what is done now.

    Raises `ArtifactError` where a graph cannot be run or the two differ, `ConfigurationError` for a wrong tokenizer.
    """
    tokenizer = load_tokenizer(card)
    rows = [canary_row(card, tokenizer).ids, *(one.ids for one in tokenizer.encode(_TEXTS) if len(one.ids))]
    model = read_published(published or serving)
    tolerance = REDUCED_TOLERANCE if is_reduced(model) else FULL_TOLERANCE
    pad_id = card.tokenizer.pad_id
    # Left padding is nothing that the gateway sends; pooling has to be right for it all the same.
    batches = [padded(rows, pad_id=pad_id), padded(rows, pad_id=pad_id, left=True)]
    if published is not None:
        on_step("comparing it with the published one")
    expected = [] if published is None else _published_outputs(card, published, batches)
    run = GraphRun(card, serving)
    for batch, wanted in zip(batches, expected, strict=False):
        _compare(card, run, batch, wanted, tolerance=tolerance, name=published.name if published else serving.name)
    on_step("measuring the known text")
    alone = np.concatenate([run.results(padded([row], pad_id=pad_id)) for row in rows])
    spread = float(np.abs(run.results(batches[0]) - alone).max())
    return Measured(
        canary=tuple(float(value) for value in alone[0, :KEPT_VALUES]),
        size=alone.shape[1],
        batch_invariant=spread <= tolerance and not mixes_rows(model),
        spread=spread,
    )


def load_tokenizer(card: Card) -> TextTokenizer:
    """Raises `ConfigurationError` naming what is wrong with it."""
    spec = card.tokenizer
    return TextTokenizer.from_file(card.path_of(spec.file), max_tokens=spec.max_tokens, max_text_bytes=MAX_TEXT_BYTES)


def mixes_rows(model: onnx.ModelProto) -> bool:
    """Whether the graph has an operator that lets the rows of a batch influence one another."""
    return bool(_operators(model) & MIXING_OPERATORS)


def is_reduced(model: onnx.ModelProto) -> bool:
    """Whether the graph computes in less than float32."""
    stored = any(tensor.data_type in _REDUCED_TYPES for tensor in model.graph.initializer)
    return stored or bool(_operators(model) & _REDUCING_OPERATORS)


def _operators(model: onnx.ModelProto) -> set[str]:
    bodies: list[Sequence[onnx.NodeProto]] = [model.graph.node, *(function.node for function in model.functions)]
    found: set[str] = set()
    while bodies:
        for node in bodies.pop():
            found.add(node.op_type)
            bodies += [graph.node for graph in nested_graphs(node)]
    return found


def _published_outputs(card: Card, published: Path, batches: Sequence[Batch]) -> list[dict[OutputRole, Array]]:
    """What the serving graph has to give for each batch, by role: the published outputs, pooled by NumPy."""
    names = published_names(card.graph) if card.graph is not None else {}
    run = GraphRun(card, published)
    found = []
    for batch in batches:
        values = run.outputs(batch, list(names.values()))
        outputs = {role: values[name].astype(np.float32) for role, name in names.items()}
        tokens = outputs.get(OutputRole.TOKEN_EMBEDDINGS)
        if tokens is not None and OutputRole.SENTENCE_EMBEDDING not in outputs:
            outputs[OutputRole.SENTENCE_EMBEDDING] = POOLINGS[card.embedding.pooling](tokens, batch.mask)
        found.append(outputs)
    return found


def _compare(
    card: Card, run: GraphRun, batch: Batch, wanted: dict[OutputRole, Array], *, tolerance: float, name: str
) -> None:
    names = {output.role: output.tensor.name for output in card.triton.outputs}
    given = run.outputs(batch, list(names.values()))
    for role, output in names.items():
        difference = _difference(role, given[output], wanted[role], batch.mask)
        # Written so that NaN fails.
        if not difference <= tolerance:
            raise ArtifactError(
                f"The graph made for {card.name} differs from {name}: its {output} is off by {difference:.1e}; "
                f"allowed is {tolerance:.0e}. It is not installed.",
                remedy="Check graph.config and vectors.pooling in card.toml; if they are right, please report this.",
            )


def _difference(role: OutputRole, given: Array, wanted: Array, mask: Int64Array) -> float:
    """The largest difference between values: of unit vectors, and of token vectors that are no padding; of logits."""
    if given.shape != wanted.shape:
        return float("inf")
    if role is OutputRole.LOGIT:
        return float(np.abs(given - wanted).max())
    if role is OutputRole.TOKEN_EMBEDDINGS:
        given, wanted = given[mask == 1], wanted[mask == 1]
    return float(np.abs(_directions(given) - _directions(wanted)).max())


def _directions(vectors: Array) -> Float64Array:
    return unit(vectors, name="The graph")
