"""Bodies are bounded by declaration, by count and by time, before anything inside holds more than the limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from starlette.types import Message, Receive, Scope, Send

from gateway.errors import BodyTooLarge, BodyTooSlow, UnsupportedBody
from gateway.middleware.body_limit import BodyLimit
from gateway.telemetry.connections import attach_connection

LIMIT = 100


class Collector:
    """Reads the whole body, as an endpoint would."""

    def __init__(self) -> None:
        self.body = b""
        self.reached = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached = True
        more = True
        while more:
            message = await receive()
            self.body += message.get("body", b"")
            more = message.get("more_body", False)


async def ignore(message: Message) -> None: ...


async def through(
    *parts: bytes, headers: dict[str, str] | None = None, timeout_seconds: float = 30.0, stall: bool = False
) -> Collector:
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if not stall:
        messages[-1]["more_body"] = False

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        return await asyncio.get_running_loop().create_future()

    inner = Collector()
    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    app = BodyLimit(inner, max_body_bytes=LIMIT, body_timeout_seconds=timeout_seconds)
    try:
        await app({"type": "http", "headers": raw}, receive, ignore)
    finally:
        through.last = inner  # type: ignore[attr-defined]
    return inner


async def test_a_body_of_exactly_the_limit_passes() -> None:
    assert (await through(b"x" * 60, b"x" * 40, headers={"content-length": "100"})).body == b"x" * 100


@pytest.mark.parametrize("length", ["101", "1073741824", "9" * 5000, " 101 "])
async def test_a_larger_declared_body_is_refused_before_anything_is_reached(length: str) -> None:
    with pytest.raises(BodyTooLarge, match="100 bytes"):
        await through(b"", headers={"content-length": length})
    assert not through.last.reached  # type: ignore[attr-defined]


async def test_an_undeclared_body_is_cut_off_where_it_passes_the_limit() -> None:
    with pytest.raises(BodyTooLarge):
        await through(b"x" * 60, b"x" * 41, b"never read", headers={"transfer-encoding": "chunked"})
    assert through.last.body == b"x" * 60  # type: ignore[attr-defined]


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "identity, gzip", "GZIP"])
async def test_encoded_bodies_are_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedBody):
        await through(b"x", headers={"content-encoding": encoding})


@pytest.mark.parametrize("encoding", ["identity", "Identity", "", " "])
async def test_identity_is_no_encoding(encoding: str) -> None:
    assert (await through(b"x", headers={"content-encoding": encoding})).body == b"x"


async def test_a_body_that_stalls_is_given_up() -> None:
    with pytest.raises(BodyTooSlow, match=r"0\.02 seconds"):
        await through(b"x", stall=True, timeout_seconds=0.02)


async def test_the_time_limit_is_for_the_whole_body_not_for_each_piece() -> None:
    async def receive() -> Message:
        await asyncio.sleep(0.005)
        return {"type": "http.request", "body": b"", "more_body": True}

    app = BodyLimit(Collector(), max_body_bytes=LIMIT, body_timeout_seconds=0.05)
    with pytest.raises(BodyTooSlow):
        await app({"type": "http", "headers": []}, receive, ignore)


async def test_waiting_for_the_disconnect_has_no_time_limit() -> None:
    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.05)

    first = [{"type": "http.request", "body": b"x", "more_body": False}]

    async def receive() -> Message:
        return first.pop() if first else await asyncio.get_running_loop().create_future()

    await BodyLimit(endpoint, max_body_bytes=LIMIT, body_timeout_seconds=0.01)(
        {"type": "http", "headers": []}, receive, ignore
    )


@dataclass
class BodyIsHere:
    has_whole_body: bool = True
    is_gone: bool = False
    when_gone: Callable[[], None] | None = None


@pytest.mark.parametrize(("parts", "fits"), [((b"x" * 100,), True), ((b"x" * 101,), False)])
async def test_a_body_that_is_here_whole_is_counted_though_not_timed(parts: tuple[bytes, ...], fits: bool) -> None:
    messages = [{"type": "http.request", "body": part, "more_body": False} for part in parts]

    async def receive() -> Message:
        return messages.pop(0)

    inner = Collector()
    scope: Scope = {"type": "http", "headers": []}
    attach_connection(scope, BodyIsHere())
    app = BodyLimit(inner, max_body_bytes=LIMIT, body_timeout_seconds=0.0)  # any timer would be over at once
    if fits:
        await app(scope, receive, ignore)
        assert inner.body == parts[0]
    else:
        with pytest.raises(BodyTooLarge):
            await app(scope, receive, ignore)
