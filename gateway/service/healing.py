"""Bringing a model back: unload and load, one model at a time, ever more slowly while it does not help.

Loading alone does not restart a dead backend process in Triton 2.51; unloading and loading does.
"""

from __future__ import annotations

import asyncio
import time

from gateway.errors import DeadlineExceeded, GatewayError
from gateway.triton.engine import Engine

UNLOAD_TIMEOUT_SECONDS = 20.0
LOAD_TIMEOUT_SECONDS = 120.0
_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
# A model that stayed up this long has recovered; its next death is the first one again.
_STEADY_SECONDS = 60.0


class Healer:
    """Heals the models of one Triton. Two reloads at once would slow both down and compete for memory."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._one_at_a_time = asyncio.Lock()
        self._attempts: dict[str, int] = {}
        self._last_attempt: dict[str, float] = {}

    async def restart(self, model: str) -> str | None:
        """Unloads and loads `model`; gives None, or a sentence that says why it could not be done."""
        async with self._one_at_a_time:
            await self._back_off(model)
            try:
                await self._engine.unload(model, timeout_seconds=UNLOAD_TIMEOUT_SECONDS)
            except DeadlineExceeded:
                pass  # an instance that hangs cannot be waited for; loading replaces it
            except GatewayError as error:
                return error.message
            return await self._load(model)

    async def load(self, model: str) -> str | None:
        """Loads `model`, which Triton forgot in a restart; gives None, or why it could not be done."""
        async with self._one_at_a_time:
            await self._back_off(model)
            return await self._load(model)

    async def _load(self, model: str) -> str | None:
        try:
            await self._engine.load(model, timeout_seconds=LOAD_TIMEOUT_SECONDS)
        except GatewayError as error:
            return error.message
        return None

    async def _back_off(self, model: str) -> None:
        now = time.monotonic()
        if now - self._last_attempt.get(model, -_STEADY_SECONDS) >= _STEADY_SECONDS:
            self._attempts[model] = 0
        attempts = self._attempts[model]
        if attempts:
            await asyncio.sleep(min(_FIRST_BACKOFF_SECONDS * 2 ** (attempts - 1), _LONGEST_BACKOFF_SECONDS))
        self._attempts[model] = attempts + 1
        self._last_attempt[model] = time.monotonic()
