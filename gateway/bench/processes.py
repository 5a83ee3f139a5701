"""Processor time and memory of the processes under test, which a load generator on the same cores cannot spoil."""

from __future__ import annotations

import contextlib
import ipaddress
import socket

import psutil


def cpu_seconds(pid: int | None) -> float | None:
    """User and system time of a process and all below it so far; None where it is gone or may not be looked at.

    Below a `gateway up` that is Triton and its backend's processes too.
    """
    if pid is None:
        return None
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
        total = _own_seconds(root)
    except psutil.Error:
        return None
    for process in tree[1:]:
        with contextlib.suppress(psutil.Error):
            total += _own_seconds(process)
    return total


def memory_bytes(pid: int | None) -> int | None:
    """What a process and all below it hold, a page that several share counted once among them; None as `cpu_seconds`.

    On Linux the proportional set size, elsewhere what belongs to each process alone.
    """
    if pid is None:
        return None
    try:
        root = psutil.Process(pid)
        total = _own_bytes(root)
        below = root.children(recursive=True)
    except psutil.Error:
        return None
    for process in below:
        with contextlib.suppress(psutil.Error):
            total += _own_bytes(process)
    return total


def _own_bytes(process: psutil.Process) -> int:
    memory = process.memory_full_info()
    return int(getattr(memory, "pss", memory.uss))


def _own_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def listener_on(host: str, port: int) -> int | None:
    """The process that listens there, where that is on this machine and may be known."""
    if not _is_loopback(host):
        return None
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
                return connection.pid
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(socket.gethostbyname(host)).is_loopback
    except (OSError, ValueError):
        return host == "::1"
