"""Clients that send requests one behind the other, or begin one early: no time limit runs while they wait for us."""

from __future__ import annotations

import asyncio
import importlib
import socket
import time
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.edge import settings
from tests.support.live_server import LiveServer, live_server, read_to_end

HEADER_TIMEOUT_SECONDS = 0.6
KEEP_ALIVE_SECONDS = 0.6
SLOW_SECONDS = 1.2


async def its_own_path(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the path it was asked for; `/slow` takes longer than any limit here."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        await asyncio.sleep(SLOW_SECONDS)
    body = b"<%b>" % scope["path"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    app: ASGIApp = its_own_path
    with live_server(settings(header_timeout_seconds=HEADER_TIMEOUT_SECONDS, drain_seconds=0), app) as running:
        yield running


def get(path: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join([b"GET %b HTTP/1.1" % path, b"Host: here", *lines, b"", b""])


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Up to `end`, or to the end of the connection."""
    received = b""
    while not received.endswith(end) and (chunk := connection.recv(65536)):
        received += chunk
    return received


def paths_in(answers: bytes) -> list[bytes]:
    return [part.partition(b">")[0] for part in answers.split(b"<")[1:]]


def test_whole_requests_behind_a_slow_one_are_answered_wherever_we_cut_them(server: LiveServer) -> None:
    slow = get(b"/slow", b"X: " + b"a" * 3900)
    second = get(b"/b")
    third = get(b"/c", b"Connection: close", b"X: " + b"a" * 300)
    assert len(slow + second) < 4096 < len(slow + second + third) - 100, "the cut is to lie in the third one's headers"
    with server.connect() as connection:
        connection.sendall(slow + second + third)
        assert paths_in(read_to_end(connection)) == [b"/slow", b"/b", b"/c"]


def test_who_has_begun_the_next_request_still_gets_the_slow_answer_before_it(server: LiveServer) -> None:
    following = get(b"/b", b"Connection: close")
    with server.connect() as connection:
        connection.sendall(get(b"/slow") + following[:10])
        assert paths_in(read_until(connection, b"</slow>")) == [b"/slow"]
        connection.sendall(following[10:])
        assert paths_in(read_to_end(connection)) == [b"/b"]


def test_who_begins_the_next_request_before_a_slow_answer_and_stops_is_hung_up_on_after_it(server: LiveServer) -> None:
    with server.connect() as connection:
        connection.sendall(get(b"/slow") + get(b"/b")[:10])
        assert paths_in(read_to_end(connection)) == [b"/slow"]


def test_each_head_has_its_own_time_though_every_segment_ends_in_one(server: LiveServer) -> None:
    rounds = 8
    stream = [get(b"/%d" % number) for number in range(rounds)]
    with server.connect() as connection:
        connection.sendall(stream[0] + stream[1][:10])
        for number in range(1, rounds):
            assert paths_in(read_until(connection, b">")) == [b"/%d" % (number - 1)]
            time.sleep(2 * HEADER_TIMEOUT_SECONDS / rounds)
            following = stream[number + 1][:10] if number + 1 < rounds else b""
            connection.sendall(stream[number][10:] + following)
        assert paths_in(read_until(connection, b">")) == [b"/%d" % (rounds - 1)]


def test_a_request_that_began_before_the_last_answer_is_no_idleness() -> None:
    app: ASGIApp = its_own_path
    with (
        patch.object(importlib.import_module("gateway.cli.serve"), "_KEEP_ALIVE_SECONDS", KEEP_ALIVE_SECONDS),
        live_server(settings(drain_seconds=0), app) as server,
        server.connect() as connection,
    ):
        slow = get(b"/slow", b"Connection: close")
        connection.sendall(get(b"/a") + slow[:10])
        assert paths_in(read_until(connection, b"</a>")) == [b"/a"]
        connection.sendall(slow[10:])
        assert paths_in(read_to_end(connection)) == [b"/slow"]
