"""A call's rows to the outputs that it asks for: forwards by plan, and less at once where memory ends."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gateway.python_backend import memory
from gateway.python_backend.adapted_linear import chosen_adapters
from gateway.python_backend.adapters import Adapters
from gateway.python_backend.call_rows import CallRow
from gateway.python_backend.faults import CallError
from gateway.python_backend.forward_plan import halved, planned
from gateway.python_backend.forwards import image_states, text_states
from gateway.python_backend.network import Network
from gateway.python_backend.outputs import EMBEDDINGS, SPAN_SUMS, TOKEN_VECTORS, CallOutputs, RowOutputs
from gateway.python_backend.pixels import PixelReading
from gateway.python_backend.pooling import mean_vectors, span_sum, token_vectors

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Embedder:
    """A loaded network and what is needed to use it. It holds nothing that changes: calls leave no trace."""

    network: Network
    adapters: Adapters
    reading: PixelReading
    max_forward_tokens: int

    def compute(self, rows: Sequence[CallRow], wanted: Collection[str]) -> dict[str, npt.NDArray[Any]]:
        """The outputs `wanted`, by their names, rows in their own order.

        A row that does not fit into the device's memory even alone is marked in `row_status`, its values are zeros and
        the others are computed. Raises `CallError` for an output that this checkpoint does not have.
        """
        outputs = CallOutputs(rows, self._sizes(wanted))
        lengths, images = [len(row.ids) for row in rows], [row.pixels is not None for row in rows]
        budget = self.max_forward_tokens
        pending = planned(range(len(rows)), lengths=lengths, images=images, max_tokens=budget)
        while pending:
            group = pending.pop(0)
            values = self._attempt([rows[number] for number in group], outputs.wanted)
            if values is not None:
                outputs.store(group, values)
            elif len(group) == 1:
                outputs.mark_out_of_memory(group[0])
            else:
                budget = halved(group, lengths=lengths)
                rest = [*group, *(number for later in pending for number in later)]
                pending = planned(rest, lengths=lengths, images=images, max_tokens=budget)
        return outputs.arrays(wanted)

    def _sizes(self, wanted: Collection[str]) -> dict[str, int]:
        hidden = int(self.network.model.config.text_config.hidden_size)
        sizes = {name: hidden for name in (EMBEDDINGS, SPAN_SUMS) if name in wanted}
        if TOKEN_VECTORS in wanted:
            projector = self.network.multi_vector_projector
            if projector is None:
                raise CallError(f"{TOKEN_VECTORS} needs a projector, which this checkpoint does not have.")
            sizes[TOKEN_VECTORS] = int(projector.weight.shape[0])
        return sizes

    def _attempt(self, rows: Sequence[CallRow], wanted: Collection[str]) -> list[RowOutputs] | None:
        """One forward's values on the host, or None where the device's memory did not suffice."""
        try:
            with torch.inference_mode():
                return self._forward(rows, wanted)
        except (RuntimeError, MemoryError) as error:
            if not memory.is_out_of_memory(error):
                raise
        logger.warning(
            "Out of memory with %d rows of up to %d tokens; going on with less.", len(rows), max(map(_length, rows))
        )
        memory.release(self.network.model.device)
        return None

    def _forward(self, rows: Sequence[CallRow], wanted: Collection[str]) -> list[RowOutputs]:
        model = self.network.model
        mask = self.adapters.mask([row.adapter for row in rows], like=model.language_model.embed_tokens.weight)
        with chosen_adapters(mask):
            images = rows[0].pixels is not None
            states = image_states(model, rows, self.reading) if images else text_states(model, rows)
            tokens = self._token_vectors(states, rows) if TOKEN_VECTORS in wanted else None
        means = _means(states, rows) if EMBEDDINGS in wanted else None
        sums = _sums(states, rows) if SPAN_SUMS in wanted else None
        return [
            RowOutputs(*(None if part is None else part[number] for part in (means, sums, tokens)))
            for number in range(len(rows))
        ]

    def _token_vectors(self, states: Any, rows: Sequence[CallRow]) -> list[npt.NDArray[np.float32]]:
        vectors = _host(token_vectors(states, self.network.multi_vector_projector))
        return [part[: len(row.ids)] for part, row in zip(vectors, rows, strict=True)]


def _means(states: Any, rows: Sequence[CallRow]) -> npt.NDArray[np.float32]:
    return _host(mean_vectors(states, [(row.pooled_start, row.pooled_end) for row in rows]))


def _sums(states: Any, rows: Sequence[CallRow]) -> list[npt.NDArray[np.float32]]:
    sums = [span_sum(states[number], *span) for number, row in enumerate(rows) for span in row.spans.tolist()]
    if not sums:
        return [np.empty((0, states.shape[-1]), np.float32)] * len(rows)
    return np.split(_host(torch.stack(sums)), np.cumsum([len(row.spans) for row in rows])[:-1])


def _host(values: Any) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = values.cpu().numpy()
    return array


def _length(row: CallRow) -> int:
    return len(row.ids)
