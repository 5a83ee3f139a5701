"""The tensors that answer a call, filled row by row in whatever order rows are computed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.python_backend.call_rows import CallRow

EMBEDDINGS = "embeddings"
SPAN_SUMS = "span_sums"
TOKEN_VECTORS = "token_vectors"
ROW_STATUS = "row_status"
ROW_OK, ROW_OUT_OF_MEMORY = 0, 1

Values = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RowOutputs:
    """One row's values: its embedding [size], its sums [spans, size], its tokens' vectors [tokens, size]; None for what
    was not asked for."""

    embedding: Values | None = None
    span_sums: Values | None = None
    token_vectors: Values | None = None


class CallOutputs:
    """float32 arrays of the outputs named in `sizes`, zeros until their rows are stored, and each row's status."""

    def __init__(self, rows: Sequence[CallRow], sizes: Mapping[str, int]) -> None:
        self.wanted = frozenset(sizes)
        self._starts = {
            EMBEDDINGS: np.arange(len(rows) + 1),
            SPAN_SUMS: _starts([len(row.spans) for row in rows]),
            TOKEN_VECTORS: _starts([len(row.ids) for row in rows]),
        }
        self._arrays = {name: np.zeros((self._starts[name][-1], size), np.float32) for name, size in sizes.items()}
        self._status = np.full(len(rows), ROW_OK, np.int32)

    def store(self, numbers: Sequence[int], values: Sequence[RowOutputs]) -> None:
        for number, row in zip(numbers, values, strict=True):
            self._put(EMBEDDINGS, number, row.embedding)
            self._put(SPAN_SUMS, number, row.span_sums)
            self._put(TOKEN_VECTORS, number, row.token_vectors)

    def mark_out_of_memory(self, number: int) -> None:
        self._status[number] = ROW_OUT_OF_MEMORY

    def arrays(self, wanted: Collection[str]) -> dict[str, npt.NDArray[Any]]:
        """The arrays by their names, for those `wanted` that there are."""
        return {name: array for name, array in {**self._arrays, ROW_STATUS: self._status}.items() if name in wanted}

    def _put(self, name: str, number: int, values: Values | None) -> None:
        if values is not None:
            start, end = self._starts[name][number : number + 2]
            self._arrays[name][start:end] = values


def _starts(counts: Sequence[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
