"""The proof behind readiness: a fixed text's vector or score, straight through the engine, compared with known values.

A flag proves nothing: Triton 2.51 goes on reporting a model ready after the process that runs it has died.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np

from gateway.batching.call import ModelCall
from gateway.errors import EngineUnavailable, InferenceFailed, InvalidVector
from gateway.types import Float32Array, RowOutput, TokenRow
from gateway.vectors.scores import sigmoid

# An idle model answers in milliseconds. Silence this long is told, but only an error or a dead server ends the wait.
SILENCE_SECONDS = 0.5
CALL_TIMEOUT_SECONDS = 30.0


class WrongVector(InferenceFailed):
    """The model answered the canary with another value than the known one."""

    code = "canary_mismatch"


async def canary_value(call: ModelCall, row: TokenRow, *, timeout_seconds: float) -> Float32Array:
    """What the model gives for its known text: float32 [size], a unit vector, or [1], a score from 0 to 1.

    Raises what `call` raises, and `InvalidVector` for a value that is none.
    """
    result = await call([row], timeout_seconds=timeout_seconds, urgent=True)
    if result.invalid:
        raise InvalidVector(result.invalid[0].message)
    value = np.asarray(result.values[0], dtype=np.float32)
    return sigmoid(value).astype(np.float32) if row.group.output is RowOutput.LOGIT else value


class Canary:
    """One model's canary."""

    def __init__(self, *, expected: Sequence[float], tolerance: float, row: TokenRow, call: ModelCall) -> None:
        """`row` is the canary text as the model reads it. `expected` holds the first values of its unit vector, or its
        score; empty where nobody knows them: then every vector has to be the first one again."""
        self._expected = np.array(expected, dtype=np.float32)
        self._tolerance = tolerance
        self._row = row
        self._call = call
        self._pending: asyncio.Task[Float32Array] | None = None
        self._lost: EngineUnavailable | None = None

    async def prove(self, *, silent: Callable[[float], object], is_live: Callable[[], asyncio.Future[bool]]) -> None:
        """Returns when the model gave the expected value.

        Every `SILENCE_SECONDS` without an answer, `silent` is told that number and `is_live` asks the server. Raises
        `EngineUnavailable` when that fails twice in a row or `give_up` was called, `WrongVector` for another value,
        and what the engine raises.
        """
        self._lost = None
        self._pending = asyncio.create_task(self._value())
        try:
            await self._wait(self._pending, silent=silent, is_live=is_live)
            if self._lost is not None:
                raise self._lost
            self._compare(self._pending.result())
        finally:
            self._pending.cancel()
            self._pending = None

    def give_up(self, error: EngineUnavailable) -> None:
        """Another call has found the engine gone; there is no point in waiting for this one."""
        if self._pending is not None and not self._pending.done():
            self._lost = error
            self._pending.cancel()

    async def _value(self) -> Float32Array:
        return await canary_value(self._call, self._row, timeout_seconds=CALL_TIMEOUT_SECONDS)

    async def _wait(
        self,
        pending: asyncio.Task[Float32Array],
        *,
        silent: Callable[[float], object],
        is_live: Callable[[], asyncio.Future[bool]],
    ) -> None:
        deaf = 0
        while not (await asyncio.wait({pending}, timeout=SILENCE_SECONDS))[0]:
            silent(SILENCE_SECONDS)
            deaf = 0 if await is_live() else deaf + 1
            if deaf > 1 and not pending.done():
                raise EngineUnavailable("Triton does not answer.")

    def _compare(self, value: Float32Array) -> None:
        if not self._expected.size:
            self._expected = value
        difference = float(np.abs(value[: len(self._expected)] - self._expected).max(initial=0.0))
        # Written so that NaN fails.
        if not difference <= self._tolerance:
            raise WrongVector("The model gives wrong vectors: its known text came out differently.")
