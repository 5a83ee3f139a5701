"""The stack under test: `gateway up` on free ports in a folder of its own, in processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from gateway.errors import EmbeddedTritonError

SERVER = "tritonserver"
BACKEND_PROCESS = "triton_python_backend_stub"
START_SECONDS = 90.0
STOP_SECONDS = 30.0
LAST_LINES = 8


@dataclass(frozen=True, slots=True)
class Server:
    """Where a running stack listens, and the gateway's pid."""

    host: str
    http_port: int
    grpc_address: str
    triton_http_port: int
    pid: int

    def process(self, name: str) -> psutil.Process:
        """The one process of that program below the gateway."""
        below = psutil.Process(self.pid).children(recursive=True)
        [found] = [process for process in below if name in Path((process.cmdline() or [""])[0]).name]
        return found


@contextmanager
def running_stack(model: str, repository: Path, *, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Up and ready inside the block; stopped, and waited for, at its end.

    `settings` are environment variables that the gateway reads beside the defaults; none of this process's own apply.
    Raises `EmbeddedTritonError` where it does not come up, with the last lines of what it said.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        environment |= {"GATEWAY_LOG_LEVEL": "warning", **(settings or {})}
        environment |= {"GATEWAY_RUN_FOLDER": name, "GATEWAY_MODEL_REPOSITORY": str(repository.resolve())}
        up = [sys.executable, "-m", "gateway", "up", "--auto-ports", "--model", model]
        command = [sys.executable, "-m", "gateway.bench.bound", str(os.getpid()), *up]
        with (folder / "output").open("wb") as output:
            # In a session of its own: Ctrl-C reaches this process alone, which then stops the stack in order.
            process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
            )
            try:
                yield _wait_until_up(process, folder)
            finally:
                _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        # Its warden takes Triton away after it.
        process.kill()
        process.wait()


def _wait_until_up(process: subprocess.Popen[bytes], folder: Path) -> Server:
    end = time.monotonic() + START_SECONDS
    run_file = folder / "up.json"
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            record = json.loads(run_file.read_text())
            if _is_ready(record["url"]):
                ports = record["ports"]
                return Server("127.0.0.1", ports["gateway"], f"127.0.0.1:{ports['grpc']}", ports["http"], process.pid)
        time.sleep(0.1)
    said = (folder / "output").read_text(errors="replace").splitlines()[-LAST_LINES:]
    raise EmbeddedTritonError("The stack to be measured did not come up. It said:\n" + "\n".join(said))


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready", trust_env=False).is_success
    except httpx.TransportError:
        return False
