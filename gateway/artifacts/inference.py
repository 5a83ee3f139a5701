"""Running a graph in this process, as Triton will run it: what is proved about files before they are served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from gateway.cards.canary_task import canary_task
from gateway.cards.schema import Card
from gateway.cards.triton_spec import InputRole, OutputRole
from gateway.errors import ArtifactError, ConfigurationError
from gateway.triton.input_tensors import input_tensors, pad
from gateway.types import Float64Array, Int64Array
from gateway.vectors.pooling import POOLINGS
from gateway.vectors.scores import sigmoid

Array = npt.NDArray[Any]

# ONNX Runtime's word for "errors only": its warnings about a graph's making mean nothing to whoever runs this.
_ERRORS_ONLY = 3
_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True)
class Batch:
    """`ids` and `mask` are int64 [rows, longest]."""

    ids: Int64Array
    mask: Int64Array


def padded(rows: Sequence[Int64Array], *, pad_id: int, left: bool = False) -> Batch:
    """Rows of int64 [tokens] side by side, padded on the right, or on the left."""
    return Batch(*pad(rows, pad_id=pad_id, left=left))


class GraphRun:
    """A graph loaded into this process. Every call raises `ArtifactError` where ONNX Runtime refuses."""

    def __init__(self, card: Card, graph: Path) -> None:
        self._card = card
        self._name = graph.name
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            raise _refused(self._name, error) from error

    def outputs(self, batch: Batch, names: Sequence[str]) -> dict[str, Array]:
        """The outputs `names` for a batch; a graph with adapters runs under the canary's."""
        feeds = feeds_of(self._card, batch)
        try:
            values = self._session.run(list(names), feeds)
        except Exception as error:
            raise _refused(self._name, error) from error
        return dict(zip(names, values, strict=True))

    def results(self, batch: Batch) -> Float64Array:
        """What callers get for each row: unit vectors [rows, size], or scores [rows, 1] from 0 to 1.

        Raises `ArtifactError` for a row that has no direction or is not finite.
        """
        output = self._card.triton.output(OutputRole.LOGIT) or self._card.triton.embedding_output
        if output is None:
            raise ConfigurationError(f"The card of {self._card.name} names no output to answer from.")
        values = self.outputs(batch, [output.tensor.name])[output.tensor.name]
        return results_of(self._card, output.role, values, batch, name=self._name)


def results_of(card: Card, role: OutputRole, values: Array, batch: Batch, *, name: str) -> Float64Array:
    """What callers get for each row, from the output of this role: see `GraphRun.results`."""
    if role is OutputRole.LOGIT:
        return sigmoid(values.astype(np.float32))
    if role is OutputRole.TOKEN_EMBEDDINGS:
        values = POOLINGS[card.embedding.pooling](values, batch.mask)
    return unit(values, name=name)


def unit(vectors: Array, *, name: str) -> Float64Array:
    """Rows at length 1, float64. Raises `ArtifactError` for a row without direction."""
    wide: Float64Array = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(wide, axis=-1, keepdims=True)
    if not (np.isfinite(norms) & (norms > 0)).all():
        raise ArtifactError(f"{name} gives vectors of zeros, NaN or infinite values.")
    directions: Float64Array = wide / norms
    return directions


def feeds_of(card: Card, batch: Batch) -> Mapping[str, Array]:
    """A batch as the graph's inputs, under the canary's adapter where it takes one."""
    task = canary_task(card)
    feeds = input_tensors(card.triton.inputs, batch.ids, batch.mask, adapter=task.adapter if task is not None else None)
    adapter = card.triton.input(InputRole.ADAPTER)
    if adapter is not None:
        # Rank 0: ONNX Runtime takes shape [1] for it without a word and computes something else.
        feeds[adapter.tensor.name] = feeds[adapter.tensor.name].reshape(())
    return feeds


def _refused(name: str, error: Exception) -> ArtifactError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ArtifactError(f"ONNX Runtime cannot run {name}: {reason[:_LONGEST_REASON]}")
