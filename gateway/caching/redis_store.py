"""Vectors kept in Redis, for several gateways and over restarts. One that is slow or away costs a request next to
nothing and never fails it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.caching.breaker import Breaker
from gateway.errors import ConfigurationError

_log = logging.getLogger(__name__)

# Keys of one command: some hundred kilobytes of vectors, so that reading an answer holds the loop for a millisecond.
_KEYS_A_COMMAND = 128
# What asking may cost a request, for each command. A Redis nearby takes one to three milliseconds for a full one.
ANSWER_SECONDS = 0.05
_STORING_SECONDS = 2.0
_CONNECTING_SECONDS = 1.0
# Vectors on their way there; beyond it they are not kept.
_MOST_PENDING_BYTES = 16 * 1024 * 1024


class RedisStore:
    """Values by key. `close` ends it."""

    def __init__(self, url: str, *, ttl_seconds: float) -> None:
        """Connects when first used. Raises `ConfigurationError` for an address that is none, or without redis-py."""
        self._client = _client(url)
        self._ttl_ms = max(int(ttl_seconds * 1000), 1)
        self._breaker = Breaker()
        self._pending_bytes = 0
        self._storing: set[asyncio.Task[None]] = set()

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """What is there for each key, None where nothing is, or where it does not come in time."""
        found: list[bytes | None] = []
        for start in range(0, len(keys), _KEYS_A_COMMAND):
            if not self._breaker.allows():
                break
            asked = keys[start : start + _KEYS_A_COMMAND]
            some = await self._attempt(self._client.mget(asked), ANSWER_SECONDS)
            if some is None or len(some) != len(asked):
                break
            found += some
        return found + [None] * (len(keys) - len(found))

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Keeps values, some time soon; they are dropped where too much waits for that."""
        size = sum(map(len, values.values()))
        if self._pending_bytes + size > _MOST_PENDING_BYTES:
            return
        self._pending_bytes += size
        task = asyncio.get_running_loop().create_task(self._store(values))
        self._storing.add(task)
        task.add_done_callback(lambda done: self._stored(done, size))

    async def close(self) -> None:
        """What is under way is given a moment."""
        if self._storing:
            await asyncio.wait(set(self._storing), timeout=_STORING_SECONDS)
        for task in self._storing:
            task.cancel()
        await self._client.aclose()

    async def _store(self, values: Mapping[bytes, bytes]) -> None:
        keys = list(values)
        for start in range(0, len(keys), _KEYS_A_COMMAND):
            if not self._breaker.allows():
                return
            pipeline = self._client.pipeline(transaction=False)
            for key in keys[start : start + _KEYS_A_COMMAND]:
                pipeline.set(key, values[key], px=self._ttl_ms)
            if await self._attempt(pipeline.execute(), _STORING_SECONDS) is None:
                return

    def _stored(self, task: asyncio.Task[None], size: int) -> None:
        self._storing.discard(task)
        self._pending_bytes -= size

    async def _attempt(self, command: Any, seconds: float) -> Any:
        """What a command gives; None when it fails or takes longer. The breaker has let it through."""
        try:
            async with asyncio.timeout(seconds):
                result = await command
        except asyncio.CancelledError:
            self._breaker.gave_up()
            raise
        except Exception as error:  # noqa: BLE001 - whatever goes wrong there, a request goes on without it
            if self._breaker.failed():
                _log.warning("the cache in Redis does not answer; requests go on without it (%s)", type(error).__name__)
            return None
        self._breaker.succeeded()
        return result


def _client(url: str) -> Any:
    try:
        from redis.asyncio import Redis
    except ImportError:
        raise ConfigurationError(
            "The cache in Redis needs the package redis.",
            remedy="Install it with `pip install 'triton-embeddings-gateway[cache]'`, or unset GATEWAY_CACHE_URL.",
        ) from None
    try:
        return Redis.from_url(
            url,
            socket_connect_timeout=_CONNECTING_SECONDS,
            socket_timeout=_STORING_SECONDS,
            decode_responses=False,
        )
    except ValueError as error:
        raise ConfigurationError(
            "GATEWAY_CACHE_URL is not an address of Redis.",
            remedy="Write it as redis://HOST:6379/0, rediss:// for TLS, or unset it.",
        ) from error
