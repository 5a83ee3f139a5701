"""Ports on real sockets: free, taken, in TIME_WAIT, and who holds them."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import psutil
import pytest

from gateway.errors import EmbeddedTritonError
from gateway.triton.embedded import ports
from gateway.triton.embedded.ports import check_free, holder_of, is_free, pick_free


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_names_its_holder_and_the_option(taken: int) -> None:
    with pytest.raises(EmbeddedTritonError) as caught:
        check_free(taken, purpose="Triton gRPC", option="--grpc-port")
    assert caught.value.code == "port_taken"
    assert f"process {os.getpid()} (" in caught.value.message
    assert str(taken) in caught.value.message
    assert "--grpc-port" in (caught.value.remedy or "")


def test_where_the_system_shows_no_connections_the_holder_stays_unnamed(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(kind: str) -> list[object]:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", denied)
    assert holder_of(taken) == "another process"


def test_a_listener_on_every_address_takes_the_loopback_port_too() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not is_free(port)
    assert is_free(port)


def test_connections_of_an_earlier_server_in_time_wait_do_not_count() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, Triton's among them
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server_side, _ = listener.accept()
            server_side.close()  # the side that closes first keeps the port in TIME_WAIT
            assert client.recv(1) == b""
    assert is_free(port)


def test_an_address_of_another_machine_is_no_taken_port() -> None:
    with pytest.raises(EmbeddedTritonError, match=r"Nothing can listen on 192\.0\.2\.1") as caught:
        check_free(8000, purpose="gateway", option="--port", host="192.0.2.1")
    assert caught.value.code == "cannot_listen"


def test_picked_ports_differ_and_are_free() -> None:
    picked = pick_free(20)
    assert len(set(picked)) == 20
    assert all(is_free(port) for port in picked)


def test_a_picked_port_is_kept_for_the_server_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs beside it takes ports too before that server listens."""
    picked = pick_free(20)
    monkeypatch.setattr(ports, "_PICKED_FROM", [*picked, *range(20_000, 20_100)])
    assert not set(picked) & set(pick_free(20))
    for port in picked:
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, Triton's among them
            server.bind(("127.0.0.1", port))
            server.listen()


@pytest.mark.parametrize("reuse", [0, 1])
def test_no_picked_port_is_one_that_the_system_gives(reuse: int) -> None:
    given = set()
    with contextlib.ExitStack() as held:
        for _ in range(200):
            any_port = held.enter_context(socket.socket())
            any_port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            any_port.bind(("127.0.0.1", 0))
            given.add(any_port.getsockname()[1])
    assert max(pick_free(200)) < min(given)


def test_a_holder_that_cannot_be_seen_is_said_to_be_another_users() -> None:
    (port,) = pick_free(1)
    assert holder_of(port) == "a process of another user"
