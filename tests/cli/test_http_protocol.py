"""Clients that read their answer slowly, late or never, on real sockets, and what is kept for them meanwhile."""

from __future__ import annotations

import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.edge import settings
from tests.support.live_server import LiveServer, live_server, read_to_end, status_of

ANSWER_BYTES = 24 * 1024 * 1024  # several times what the kernel holds between two loopback sockets
SEND_TIMEOUT_SECONDS = 0.5


async def answers_of_all_sizes(scope: Scope, receive: Receive, send: Send) -> None:
    """ANSWER_BYTES to `/whole`, and to `/pieces` as 1 MiB at a time; else as many as the path names."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    wanted = scope["path"].removeprefix("/")
    total_bytes = ANSWER_BYTES if wanted in ("whole", "pieces") else int(wanted)
    piece_bytes = 1024 * 1024 if wanted == "pieces" else total_bytes
    headers = [(b"content-length", b"%d" % total_bytes)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(total_bytes // piece_bytes):
        await send({"type": "http.response.body", "body": b"x" * piece_bytes, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    app: ASGIApp = answers_of_all_sizes
    with live_server(settings(send_timeout_seconds=SEND_TIMEOUT_SECONDS, drain_seconds=0), app) as running:
        yield running


def get(path: str, *, close: bool = False) -> bytes:
    ending = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: here\r\n{ending}\r\n".encode()


def connect_with_small_window(server: LiveServer) -> socket.socket:
    """As over a network: on loopback a window would else be tens of megabytes."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    connection.settimeout(20)
    connection.connect((server.host, server.port))
    return connection


def connections_of(server: LiveServer) -> list[int]:
    """The ports of the clients whose connections the server still has in its hands or in its kernel."""
    both_ends = psutil.net_connections(kind="tcp4")
    return [end.raddr.port for end in both_ends if end.laddr and end.raddr and end.laddr.port == server.port]


def own_port(connection: socket.socket) -> int:
    port: int = connection.getsockname()[1]
    return port


@contextmanager
def allocations() -> Iterator[Callable[[], int]]:
    """How many bytes allocated since are still in use; the process's size would show the allocator's habits instead."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def wait_for(condition: Callable[[], bool], timeout_seconds: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def received(connection: socket.socket, most_bytes: int) -> bytes:
    try:
        return connection.recv(most_bytes)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("close", [False, True], ids=["kept", "to be closed"])
def test_whoever_reads_nothing_loses_connection_and_answer(server: LiveServer, close: bool) -> None:
    with ExitStack() as open_ones, allocations() as held_bytes:
        idle = [open_ones.enter_context(connect_with_small_window(server)) for _ in range(8)]
        for connection in idle:
            connection.sendall(get("/whole", close=close))
        wait_for(lambda: held_bytes() > 4 * ANSWER_BYTES)
        wait_for(lambda: not {own_port(connection) for connection in idle} & set(connections_of(server)))
        wait_for(lambda: held_bytes() < ANSWER_BYTES)
        assert status_of(server.exchange(get("/2", close=True))) == 200


def test_whoever_stops_reading_half_way_is_cut_off_too(server: LiveServer) -> None:
    with connect_with_small_window(server) as connection:
        connection.sendall(get("/whole"))
        taken = 0
        while taken < ANSWER_BYTES // 2:
            taken += len(received(connection, 256 * 1024))
        wait_for(lambda: own_port(connection) not in connections_of(server))


@pytest.mark.parametrize("path", ["/pieces", "/65536"], ids=["sent in pieces", "held by the kernel alone"])
def test_whoever_reads_nothing_of_other_answers_is_cut_off_too(server: LiveServer, path: str) -> None:
    with connect_with_small_window(server) as connection:
        connection.sendall(get(path))
        wait_for(lambda: own_port(connection) not in connections_of(server))


def test_an_idle_reader_of_small_answers_is_cut_off_too(server: LiveServer) -> None:
    with connect_with_small_window(server) as connection:
        connection.settimeout(0.2)
        refused = False
        while not refused:
            try:
                connection.sendall(get("/2") * 1000)
            except TimeoutError:  # the server reads no further requests while their answers are not taken
                continue
            except OSError:
                refused = True
        wait_for(lambda: own_port(connection) not in connections_of(server))


def test_a_slow_reader_gets_everything(server: LiveServer) -> None:
    with connect_with_small_window(server) as connection:
        connection.sendall(get("/whole", close=True))
        taken = 0
        # Slower than the kernel's steps: what it has room for again it tells the server only once in seconds.
        for _ in range(8 * 3):
            time.sleep(SEND_TIMEOUT_SECONDS / 4)
            taken += len(received(connection, 32 * 1024))
        rest = read_to_end(connection)
    assert taken + len(rest) > ANSWER_BYTES


def test_pauses_between_requests_are_no_slow_reading(server: LiveServer) -> None:
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(get("/2"))
            assert connection.recv(65536).endswith(b"xx")
            time.sleep(SEND_TIMEOUT_SECONDS * 1.5)
        connection.sendall(get("/whole", close=True))
        assert len(read_to_end(connection)) > ANSWER_BYTES


def test_a_slow_reader_that_asks_for_more_as_it_reads_gets_everything(server: LiveServer) -> None:
    """What it has not taken yet never becomes less, though it takes some all the time."""
    with connect_with_small_window(server) as connection:
        connection.sendall(get("/4096") * 96)
        answers = b""
        for _ in range(24):
            time.sleep(SEND_TIMEOUT_SECONDS / 4)
            answers += received(connection, 16 * 1024)
            connection.sendall(get("/4096") * 4)
        connection.sendall(get("/4096", close=True))
        answers += read_to_end(connection)
    assert answers.count(b"HTTP/1.1 200 OK") == 96 + 24 * 4 + 1
