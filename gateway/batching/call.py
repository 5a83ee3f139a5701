"""The seam under the scheduler: one model call over some rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gateway.errors import GatewayError
from gateway.records import record
from gateway.types import TokenRow

RowValue = npt.NDArray[np.floating[Any]]
"""What was computed for a row, by its group's output: a vector float32 [size], sums over spans float64 [spans, size],
vectors of its tokens float32 [tokens, size], or a logit float32 [1]."""


@record(frozen=True, slots=True)
class CallResult:
    """`values` are in the order of the rows given; `invalid` names those rows whose value is none, and why."""

    values: Sequence[RowValue]
    invalid: Mapping[int, GatewayError] = field(default_factory=dict)


class ModelCall(Protocol):
    """Computes rows of one group in one call to the engine; an `urgent` one goes ahead of others where that can be.

    Raises what `gateway.triton.engine.Engine.infer` raises.
    """

    async def __call__(
        self, rows: Sequence[TokenRow], *, timeout_seconds: float, urgent: bool = False
    ) -> CallResult: ...
