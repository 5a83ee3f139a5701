from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from redis.asyncio import Redis

from gateway.caching import redis_store
from gateway.caching.redis_store import RedisStore
from gateway.caching.stores import KEY_PREFIX, CacheOptions, Stores, kept_in
from gateway.caching.vector_cache import VectorCache
from gateway.errors import ConfigurationError
from gateway.telemetry.metrics import build_metrics
from tests.support.redis_server import RedisServer, redis_server

SECRET = "a secret of the tests, long enough"
SIZE = 8


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine under load is no slow Redis."""
    monkeypatch.setattr(redis_store, "ANSWER_SECONDS", 10.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


@asynccontextmanager
async def cache(
    url: str, *, secret: str = SECRET, identity: bytes = b"model", **more: object
) -> AsyncIterator[VectorCache]:
    options = CacheOptions(url=url, secret=secret, **more)  # type: ignore[arg-type]
    async with kept_in(options, metrics=build_metrics(version="test")) as stores:
        assert stores is not None
        yield VectorCache(stores, identity=identity, size=SIZE)


@asynccontextmanager
async def client(server: RedisServer) -> AsyncIterator[Redis]:
    redis = Redis.from_url(server.url)
    try:
        yield redis
    finally:
        await redis.aclose()


def vectors(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(count).normal(size=(count, SIZE)).astype(np.float32))


async def stored(one: VectorCache, rows: list[bytes], values: list[np.ndarray], caller: str = "a") -> list[bytes]:
    """Keeps values and waits until they are there."""
    keys = one.keys(caller, rows)
    one.put(keys, values)
    async with asyncio.timeout(10):
        while any(value is None for value in await one.get(keys)):  # noqa: ASYNC110 - a state of another process
            await asyncio.sleep(0.01)
    return keys


async def found(one: VectorCache, caller: str, rows: list[bytes]) -> list[bytes | None]:
    return [None if value is None else value.tobytes() for value in await one.get(one.keys(caller, rows))]


async def test_another_gateway_finds_what_one_kept_bit_by_bit(server: RedisServer) -> None:
    rows, values = [str(number).encode() for number in range(300)], vectors(300)
    async with cache(server.url) as one:
        await stored(one, rows, values)
    async with cache(server.url) as other:
        assert await found(other, "a", [*rows, b"new"]) == [*(value.tobytes() for value in values), None]


@pytest.mark.parametrize(
    "other", [{"secret": "another secret, long enough"}, {"identity": b"another model"}, {"caller": "b"}]
)
async def test_nothing_is_found_by_another_tenant_model_or_secret(
    server: RedisServer, other: dict[str, object]
) -> None:
    caller = str(other.pop("caller", "a"))
    async with cache(server.url) as one, cache(server.url, **other) as another:  # type: ignore[arg-type]
        await stored(one, [b"row"], vectors(1))
        assert await found(another, caller, [b"row"]) == [None]


async def test_values_that_somebody_changed_or_exchanged_are_not_taken(server: RedisServer) -> None:
    async with cache(server.url) as one, client(server) as redis:
        keys = [KEY_PREFIX + key for key in await stored(one, [b"1", b"2", b"3", b"4"], vectors(4))]
        first, second = await redis.mget(keys[:2])
        await redis.set(keys[0], second)
        await redis.set(keys[1], first[:-1] + bytes([first[-1] ^ 1]))
        await redis.set(keys[2], b"")
        await redis.delete(keys[3])
        await redis.rpush(keys[3], b"a list")
        assert await found(one, "a", [b"1", b"2", b"3", b"4"]) == [None] * 4


async def test_keys_and_values_say_nothing_of_text_and_go_when_their_time_is_over(server: RedisServer) -> None:
    async with cache(server.url, ttl_seconds=100.0) as one, client(server) as redis:
        await stored(one, [b"a secret text"], vectors(1), caller="tenant name")
        [key] = await redis.keys("*")
        assert key.startswith(KEY_PREFIX)
        assert b"secret text" not in key + await redis.get(key)
        assert b"tenant" not in key
        assert 90_000 < await redis.pttl(key) <= 100_000


async def test_it_goes_on_without_redis_and_with_it_again(
    server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.caching.breaker._LONGEST_PAUSE_SECONDS", 0.05)
    async with cache(server.url) as one:
        await stored(one, [b"1"], vectors(1))
        server.stop()
        with caplog.at_level(logging.WARNING):
            for _ in range(20):
                assert await found(one, "a", [b"1"]) == [None]
                one.put(one.keys("a", [b"2"]), vectors(1))
        assert len([line for line in caplog.messages if "cache" in line]) == 1, "told once"
        server.start()
        await stored_again(one)


async def stored_again(one: VectorCache) -> None:
    async with asyncio.timeout(20):
        while await found(one, "a", [b"2"]) == [None]:
            one.put(one.keys("a", [b"2"]), vectors(1))
            await asyncio.sleep(0.02)


@contextmanager
def deaf_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


async def test_a_redis_that_is_silent_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_store, "ANSWER_SECONDS", 0.05)
    with deaf_server() as url:
        store = RedisStore(url, ttl_seconds=10)
        assert await store.get([b"1"] * 3000) == [None] * 3000
        assert await asyncio.gather(*(store.get([b"1"]) for _ in range(100))) == [[None]] * 100
        assert not store._breaker.allows()
        await store.close()


async def test_what_waits_to_be_stored_is_bounded() -> None:
    with deaf_server() as url:
        store = RedisStore(url, ttl_seconds=10)
        for number in range(40):
            store.put({str(number).encode(): bytes(1024 * 1024)})
        assert store._pending_bytes == 16 * 1024 * 1024
        for task in list(store._storing):
            task.cancel()
        await store.close()
        assert store._pending_bytes == 0


async def test_memory_is_asked_first_and_learns_from_redis(server: RedisServer) -> None:
    async with cache(server.url) as one, cache(server.url, max_bytes=10_000) as near:
        [value] = vectors(1)
        await stored(one, [b"1"], [value])
        assert await found(near, "a", [b"1"]) == [value.tobytes()]
        server.stop()
        assert await found(near, "a", [b"1"]) == [value.tobytes()]


@pytest.mark.parametrize("secret", [None, "", "short"])
def test_redis_without_a_secret_is_refused(secret: str | None) -> None:
    with pytest.raises(ConfigurationError, match="secret") as refusal:
        Stores(CacheOptions(url="redis://localhost", secret=secret))
    assert "openssl" in (refusal.value.remedy or "")


def test_an_address_that_is_none_is_told_without_its_password() -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_CACHE_URL") as refusal:
        Stores(CacheOptions(url="http://:hunter2@localhost", secret=SECRET))
    assert "hunter2" not in str(refusal.value)
