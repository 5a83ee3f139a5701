"""Where vectors are kept: in this process, in Redis, or in both, the nearer one asked first."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.caching.memory import MemoryStore
from gateway.caching.redis_store import RedisStore
from gateway.caching.seal import Seal
from gateway.errors import ConfigurationError
from gateway.telemetry.metrics import Metrics

# Every key in Redis begins with it, so that an operator finds and deletes them.
KEY_PREFIX = b"gateway:vectors:"
_SHORTEST_SECRET = 16


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """`max_bytes` 0 keeps nothing in this process, `url` None nothing in Redis; both together is no cache. `secret` is
    what keys and values in Redis are made with; all gateways that share it have to know it."""

    max_bytes: int = 0
    url: str | None = None
    secret: str | None = None
    ttl_seconds: float = 86_400.0

    @property
    def keeps_anything(self) -> bool:
        return self.max_bytes > 0 or self.url is not None


class Stores:
    """Values by key in all places there are."""

    def __init__(self, options: CacheOptions) -> None:
        """Raises `ConfigurationError` for options that cannot be right."""
        secret = _secret(options)
        self._memory = _memory(options)
        self._redis = RedisStore(options.url, ttl_seconds=options.ttl_seconds) if options.url is not None else None
        self.key_secret = hashlib.blake2b(b"gateway key" + secret, digest_size=32).digest()
        self._seal = Seal(secret)

    async def get(self, keys: Sequence[bytes], *, size: int) -> list[bytes | None]:
        """What is kept for each key, `size` bytes; None where nothing is."""
        found: list[bytes | None] = [self._memory.get(key) for key in keys] if self._memory else [None] * len(keys)
        missing = [place for place, value in enumerate(found) if value is None]
        if self._redis is None or not missing:
            return found
        sealed = await self._redis.get([KEY_PREFIX + keys[place] for place in missing])
        for place, one in zip(missing, sealed, strict=True):
            value = self._seal.open(keys[place], one, size=size) if isinstance(one, bytes) else None
            found[place] = value
            if value is not None and self._memory is not None:
                self._memory.put(keys[place], value)
        return found

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Keeps values, in Redis some time soon."""
        if self._memory is not None:
            for key, value in values.items():
                self._memory.put(key, value)
        if self._redis is not None:
            self._redis.put({KEY_PREFIX + key: self._seal.close(key, value) for key, value in values.items()})

    @property
    def held_bytes(self) -> int:
        """What is kept in this process."""
        return self._memory.held_bytes if self._memory is not None else 0

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.close()


@asynccontextmanager
async def kept_in(options: CacheOptions, *, metrics: Metrics) -> AsyncIterator[Stores | None]:
    """The stores inside the block; None where nothing is to be kept. Raises what `Stores` raises."""
    if not options.keeps_anything:
        yield None
        return
    stores = Stores(options)
    metrics.cache_bytes.set_function(lambda: stores.held_bytes)
    try:
        yield stores
    finally:
        await stores.close()


def _memory(options: CacheOptions) -> MemoryStore | None:
    if not options.max_bytes:
        return None
    return MemoryStore(max_bytes=options.max_bytes, ttl_seconds=options.ttl_seconds)


def _secret(options: CacheOptions) -> bytes:
    """The operator's secret, or for what never leaves this process one that is made here."""
    if options.url is None and not options.secret:
        return secrets.token_bytes(32)
    if options.secret is None or len(options.secret) < _SHORTEST_SECRET:
        raise ConfigurationError(
            f"A cache in Redis needs a secret of {_SHORTEST_SECRET} characters or more: without it whoever reads Redis "
            "could try which texts were embedded, and whoever writes to it could give wrong vectors.",
            remedy="Set GATEWAY_CACHE_SECRET to the same random value for all gateways that share the cache, for "
            "example of `openssl rand -hex 32`.",
        )
    return options.secret.encode()
