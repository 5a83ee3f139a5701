"""The proof behind readiness: a fixed text's vector or score, straight through the engine, compared with known values.

A flag proves nothing: Triton 2.51 goes on reporting a model ready after the process that runs it has died.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import numpy as np

from gateway.batching.call import ModelCall
from gateway.errors import EngineUnavailable, InferenceFailed, InvalidVector
from gateway.types import Float32Array, RowOutput, TokenRow
from gateway.vectors.scores import sigmoid

# An idle model answers in milliseconds. Silence this long is told, and asked once more: calls that a dying process had
# taken are never answered by Triton 2.51, while a new one fails after a second.
SILENCE_SECONDS = 0.5
# So long that second call is waited for, before another takes its place.
ASK_AGAIN_SECONDS = 3.0
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

    def __init__(
        self,
        *,
        expected: Sequence[float],
        tolerance: float,
        row: TokenRow,
        call: ModelCall,
        on_difference: Callable[[float], object] = lambda _: None,
    ) -> None:
        """`row` is the canary text as the model reads it. `expected` holds the first values of its unit vector, or its
        score; empty where nobody knows them: then every vector has to be the first one again.
        `on_difference` is told how far each right value was off those expected."""
        self._expected = np.array(expected, dtype=np.float32)
        self._tolerance = tolerance
        self._on_difference = on_difference
        self._row = row
        self._call = call
        self._asking: list[asyncio.Task[Float32Array]] = []
        self._asked_at = 0.0
        self._lost: EngineUnavailable | None = None

    async def prove(self, *, silent: Callable[[float], object], is_live: Callable[[], asyncio.Future[bool]]) -> None:
        """Returns when the model gave the expected value.

        Every `SILENCE_SECONDS` without an answer, `silent` is told for how many seconds there has been none and may
        raise, `is_live` asks the server, and the model is asked once more. Raises `EngineUnavailable` when the server
        does not answer twice in a row or `give_up` was called, `WrongVector` for another value, what `silent` raises
        and what the engine raises.
        """
        self._lost = None
        self._ask()
        try:
            answer = await self._first_answer(silent=silent, is_live=is_live)
            if self._lost is not None:
                raise self._lost
            self._compare(answer.result())
        finally:
            for call in self._asking:
                call.cancel()
                call.add_done_callback(_retrieve)
            self._asking = []

    def give_up(self, error: EngineUnavailable) -> None:
        """Another call has found the engine gone; there is no point in waiting for this one."""
        if self._asking and not any(call.done() for call in self._asking):
            self._lost = error
            for call in self._asking:
                call.cancel()

    def _ask(self) -> None:
        """Puts a call under way beside the first one, in the place of those since, which may stand in a queue."""
        self._asked_at = time.monotonic()
        for stale in self._asking[1:]:
            stale.cancel()
        self._asking = [*self._asking[:1], asyncio.create_task(self._value())]

    async def _value(self) -> Float32Array:
        return await canary_value(self._call, self._row, timeout_seconds=CALL_TIMEOUT_SECONDS)

    async def _first_answer(
        self, *, silent: Callable[[float], object], is_live: Callable[[], asyncio.Future[bool]]
    ) -> asyncio.Task[Float32Array]:
        began = time.monotonic()
        deaf = 0
        while True:
            done, _ = await asyncio.wait(self._asking, timeout=SILENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if done:
                return done.pop()
            silent(time.monotonic() - began)
            deaf = 0 if await is_live() else deaf + 1
            if any(call.done() for call in self._asking):
                continue
            if deaf > 1:
                raise EngineUnavailable("Triton does not answer.")
            if len(self._asking) == 1 or time.monotonic() - self._asked_at >= ASK_AGAIN_SECONDS:
                self._ask()

    def _compare(self, value: Float32Array) -> None:
        is_known = bool(self._expected.size)
        if not is_known:
            self._expected = value
        difference = float(np.abs(value[: len(self._expected)] - self._expected).max(initial=0.0))
        # Written so that NaN fails.
        if not difference <= self._tolerance:
            raise WrongVector("The model gives wrong vectors: its known text came out differently.")
        if is_known:
            self._on_difference(difference)


def _retrieve(call: asyncio.Task[Float32Array]) -> None:
    """Takes note of how a call that nobody waits for ended, which asyncio would complain about otherwise."""
    if not call.cancelled():
        call.exception()
