"""The seam under the scheduler: one model call over some rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gateway.errors import InvalidVector
from gateway.types import Float32Array, Int64Array


@dataclass(frozen=True, slots=True)
class CallResult:
    """`vectors` is float32 [rows, size], in the order of the rows given; `invalid` names those that are no vectors."""

    vectors: Float32Array
    invalid: Mapping[int, InvalidVector] = field(default_factory=dict)


class ModelCall(Protocol):
    """Computes rows (each int64 [tokens]) in one call to the engine.

    Raises what `gateway.triton.engine.Engine.infer` raises.
    """

    async def __call__(self, rows: Sequence[Int64Array], *, timeout_seconds: float) -> CallResult: ...
