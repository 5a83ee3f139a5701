"""What a gateway that runs Triton itself has running, and what it leaves behind: found by the run folder, so that other
gateways on this machine are none of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from gateway.triton.embedded import warden


def wait_until(condition: Callable[[], object], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "took too long"
        time.sleep(0.05)


def processes_of(run_folder: Path) -> list[psutil.Process]:
    """The living server, stubs and warden of this run folder; their command lines name it."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        command_line = " ".join(process.info["cmdline"] or [])
        if str(run_folder) in command_line and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def warden_of(run_folder: Path) -> int:
    (found,) = (process.pid for process in processes_of(run_folder) if "warden.py" in " ".join(process.cmdline()))
    return found


def segments_of(warden_pid: int) -> list[warden.Owner]:
    return [owner for owner in warden.owners() if owner.pid == warden_pid]
