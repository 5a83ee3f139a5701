"""Which ports the embedded Triton and the gateway take, and who holds one that is taken."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
from dataclasses import dataclass

import psutil

from gateway.errors import EmbeddedTritonError

LOOPBACK = "127.0.0.1"
# Below what systems give to those who ask for just any port: Linux from 32768 on.
_PICKED_FROM = range(20_000, 30_000)


@dataclass(frozen=True, slots=True)
class Ports:
    """The embedded Triton's three ports, all on IPv4 loopback."""

    grpc: int
    http: int
    metrics: int


def check_free(port: int, *, purpose: str, option: str, host: str = LOOPBACK) -> None:
    """Raise `EmbeddedTritonError` naming the holder of a taken port and the option that moves us elsewhere."""
    if is_free(port, host=host):
        return
    raise EmbeddedTritonError(
        f"Port {port} ({purpose}) is taken by {holder_of(port)}.",
        remedy=f"Stop that process, choose another port with {option}, or let --auto-ports pick free ones.",
        code="port_taken",
    )


def is_free(port: int, *, host: str = LOOPBACK) -> bool:
    """Whether a server could listen there now. Raises `EmbeddedTritonError` where none could for another reason.

    SO_REUSEADDR, as servers set it: connections of an earlier server in TIME_WAIT do not count, listeners do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise EmbeddedTritonError(
                f"Nothing can listen on {host}, port {port}: {error.strerror}.",
                remedy="Choose an address of this machine and a port from 1024 up.",
                code="cannot_listen",
            ) from None
    return True


def pick_free(count: int, *, host: str = LOOPBACK) -> tuple[int, ...]:
    """Different free ports, which for a minute nobody else is given, neither by this function in another process nor by
    the system. A server that names one gets it."""
    candidates = iter(random.SystemRandom().sample(_PICKED_FROM, len(_PICKED_FROM)))
    with contextlib.ExitStack() as held:
        listeners = [held.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            while not _bound(listener, (host, next(candidates))):
                pass
            _keep(listener)
        return tuple(listener.getsockname()[1] for listener in listeners)


def _bound(listener: socket.socket, address: tuple[str, int]) -> bool:
    """Without SO_REUSEADDR: another's port in TIME_WAIT counts as taken."""
    try:
        listener.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise
    return True


def _keep(listener: socket.socket) -> None:
    """Leave the port in TIME_WAIT, by a connection that is closed from this side first: past that only SO_REUSEADDR
    binds."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.listen(1)
    with socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        accepted.close()
        client.recv(1)


def holder_of(port: int) -> str:
    """The process that listens on a port, in words. Other users' processes show no pid to an ordinary user, and macOS
    shows none at all."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "another process"
    for connection in connections:
        local = connection.laddr
        if local and local.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
            with contextlib.suppress(psutil.NoSuchProcess):
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return "a process of another user"
