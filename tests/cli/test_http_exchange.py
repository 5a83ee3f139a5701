"""Applications that fail in odd ways: their client is answered or hung up on, and told what was wrong with it."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Iterator

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.cli.http_exchange import Exchange
from tests.support.edge import settings
from tests.support.live_server import LiveServer, live_server, status_of


class Panic(BaseException):
    """As pyo3's `PanicException`, which is no `Exception`."""


async def failing(scope: Scope, receive: Receive, send: Send) -> None:
    """`/panic` at once, `/late-panic` in the answer; else an answer as Starlette gives one to an error of its own."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    if scope["path"] == "/panic":
        raise Panic
    try:
        raise LookupError
    except LookupError:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        if scope["path"] == "/late-panic":
            await send({"type": "http.response.body", "body": b"o", "more_body": True})
            raise Panic from None
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    app: ASGIApp = failing
    with live_server(settings(drain_seconds=0), app) as running:
        yield running


def get(path: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([b"GET %b HTTP/1.1" % path, b"Host: here", *lines, b"", b""])


@pytest.mark.parametrize(("path", "end"), [(b"/panic", b""), (b"/late-panic", b"\r\n\r\no")])
def test_a_panic_leaves_no_client_waiting(server: LiveServer, path: bytes, end: bytes) -> None:
    answer = server.exchange(get(path), timeout_seconds=5)
    assert answer.endswith(end)
    assert b"ok" not in answer
    assert status_of(server.exchange(get(b"/a", b"Connection: close"))) == 200


def test_a_refusal_behind_an_answer_to_an_error_says_why_too(server: LiveServer) -> None:
    """What waits is read while the application's `except` is still under way."""
    hostless = b"GET /c HTTP/1.1\r\nX: %b\r\n\r\n" % (b"a" * 4096)
    answers = server.exchange(get(b"/a") + get(b"/b") + hostless)
    first, mark, refusal = answers.rpartition(b"HTTP/1.1 400 ")
    assert first.count(b"HTTP/1.1 200 ") == 2
    assert mark
    assert "one Host header" in json.loads(refusal.partition(b"\r\n\r\n")[2])["detail"]


def test_what_was_a_request_goes_without_garbage_collection(server: LiveServer) -> None:
    """Scope and exchange name each other while it lasts."""
    gc.collect()
    gc.disable()
    try:
        before = exchanges()
        for _ in range(3):
            assert status_of(server.exchange(get(b"/a", b"Connection: close"))) == 200
        deadline = time.monotonic() + 10
        while exchanges() > before:  # the task that answered ends behind its answer
            assert time.monotonic() < deadline, "a finished exchange is still there"
            time.sleep(0.01)
    finally:
        gc.enable()


def exchanges() -> int:
    return sum(type(one) is Exchange for one in gc.get_objects())
