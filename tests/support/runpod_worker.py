"""A `gateway runpod` as a process of its own, and a record of every address that it dials."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.triton_processes import processes_of, wait_until

READY_LIMIT_SECONDS = 90.0
STOP_LIMIT_SECONDS = 15.0

# Put in the way of every Python process that is started with it; runs before anything of ours does.
_RECORDER = """
import os, sys

def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        # A name and its resolver's arguments, or a socket and an address.
        told = arguments[0] if event == "socket.getaddrinfo" else arguments[1]
        host = told[0] if isinstance(told, tuple) else told
        with open(os.environ["DIALLED"], "a") as record:
            record.write(f"{host}\\n")

sys.addaudithook(note)
"""


@dataclass(frozen=True)
class Worker:
    process: subprocess.Popen[str]
    folder: Path

    @property
    def run_folder(self) -> Path:
        return self.folder / "run"

    def shown(self) -> str:
        return (self.folder / "output").read_text()

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.shown() or self.process.poll() is not None, seconds=READY_LIMIT_SECONDS)
        assert text in self.shown(), self.shown()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_LIMIT_SECONDS)


def environment(folder: Path, **values: str) -> dict[str, str]:
    """Nothing of this machine's own settings or of a RunPod it may run on, and the recorder of addresses."""
    own = ("GATEWAY_", "RUNPOD_", "MODEL_", "HF_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(own)}
    hooks = folder / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "sitecustomize.py").write_text(_RECORDER)
    return {
        **kept,
        "GATEWAY_RUN_FOLDER": str(folder / "run"),
        "PYTHONPATH": str(hooks),
        "DIALLED": str(folder / "dialled"),
        "HOME": str(folder),
        "COLUMNS": "200",
        **values,
    }


def run(folder: Path, *options: str, **values: str) -> subprocess.CompletedProcess[str]:
    """A `gateway runpod` that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", "runpod", *options],
        capture_output=True, text=True, cwd=folder, env=environment(folder, **values), timeout=READY_LIMIT_SECONDS,
    )  # fmt: skip


@contextlib.contextmanager
def started(folder: Path, *options: str, **values: str) -> Iterator[Worker]:
    """A `gateway runpod` under way; killed in the end, with all that is left of it."""
    with (folder / "output").open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "runpod", *options],
            stdout=stream, stderr=subprocess.STDOUT, text=True, cwd=folder, env=environment(folder, **values),
        )  # fmt: skip
    try:
        yield Worker(process, folder)
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.wait()
        wait_until(lambda: not processes_of(folder / "run"), seconds=STOP_LIMIT_SECONDS)
        # The warden has cleared away what is ours; the runpod package's heartbeat outlives a killed parent.
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def dialled(folder: Path) -> set[str]:
    """Every host that a process of the worker looked up or dialled, by name or address; Unix sockets by their path."""
    return set((folder / "dialled").read_text().splitlines())


def foreign(hosts: set[str]) -> set[str]:
    return {host for host in hosts if not _is_local(host)}


def _is_local(host: str) -> bool:
    if host in ("", "None", "localhost", "0.0.0.0", "::") or host.startswith("/"):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False
