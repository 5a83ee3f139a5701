"""Bringing a model back: unload and load, one model at a time, ever more slowly while it does not help.

Loading alone does not restart a dead backend process in Triton 2.51; unloading and loading does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

from gateway.errors import DeadlineExceeded, GatewayError
from gateway.triton.engine import Engine

# Triton 2.51 takes half a minute to take a dead process down, but loads a new one beside it after a moment.
UNLOAD_TIMEOUT_SECONDS = 0.5
LOAD_TIMEOUT_SECONDS = 120.0
# Gigabytes from a slow disk take minutes, and one that is given up early is unloaded just before it is there.
LARGE_LOAD_TIMEOUT_SECONDS = 1500.0
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
# A model that needed nothing for this long has recovered; its next death is the first one again.
_STEADY_SECONDS = 60.0


class Healer:
    """Heals the models of one Triton. Two reloads at once would slow both down and compete for memory."""

    def __init__(self, engine: Engine, *, large: Collection[str] = ()) -> None:
        """`large` are the names of models that take minutes to load."""
        self._engine = engine
        self._large = frozenset(large)
        self._one_at_a_time = asyncio.Lock()
        self._attempts: dict[str, int] = {}
        self._next_attempt_at: dict[str, float] = {}

    def due(self, model: str) -> bool:
        """Whether it is time for another attempt. In between, the model may come back by other hands."""
        return time.monotonic() >= self._next_attempt_at.get(model, 0.0)

    async def restart(self, model: str) -> str | None:
        """Unloads and loads `model`; gives None, or a sentence that says why it could not be done."""
        async with self._one_at_a_time:
            self._count(model)
            try:
                await self._engine.unload(model, timeout_seconds=UNLOAD_TIMEOUT_SECONDS)
            except DeadlineExceeded:
                pass  # the dead one need not be waited for; loading puts a live one in its place
            except GatewayError as error:
                return error.message
            return await self._load(model)

    async def load(self, model: str) -> str | None:
        """Loads `model`, which Triton forgot in a restart; gives None, or why it could not be done."""
        async with self._one_at_a_time:
            self._count(model)
            return await self._load(model)

    async def _load(self, model: str) -> str | None:
        try:
            await self._engine.load(model, timeout_seconds=self._load_timeout(model))
        except GatewayError as error:
            return error.message
        return None

    def _load_timeout(self, model: str) -> float:
        return LARGE_LOAD_TIMEOUT_SECONDS if model in self._large else LOAD_TIMEOUT_SECONDS

    def _count(self, model: str) -> None:
        now = time.monotonic()
        steady = now - self._next_attempt_at.get(model, now) >= _STEADY_SECONDS
        attempts = 0 if steady else self._attempts.get(model, 0)
        backoff = min(_FIRST_BACKOFF_SECONDS * 2**attempts, _LONGEST_BACKOFF_SECONDS)
        self._attempts[model] = attempts + 1
        self._next_attempt_at[model] = now + backoff
