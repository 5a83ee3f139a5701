"""The stack under test: `gateway up` on free ports in a folder of its own, in processes of its own."""

from __future__ import annotations

import base64
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.load_client import post
from gateway.types import Float32Array

ROOT = Path(__file__).resolve().parent.parent
MODEL = "all-MiniLM-L6-v2"

SERVER = "tritonserver"
BACKEND_PROCESS = "triton_python_backend_stub"


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
def running_stack() -> Iterator[Server]:
    """Up and ready inside the block; stopped, and waited for, at its end."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        environment |= {
            "GATEWAY_RUN_FOLDER": folder,
            "GATEWAY_MODEL_REPOSITORY": str(ROOT / "model_repository"),
            "GATEWAY_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "gateway", "up", "--auto-ports", "--model", MODEL]
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=sys.stderr)
        try:
            yield _wait_until_up(process, Path(folder) / "up.json")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def _wait_until_up(process: subprocess.Popen[bytes], run_file: Path) -> Server:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if run_file.exists() and _is_ready(json.loads(run_file.read_text())["url"]):
            ports = json.loads(run_file.read_text())["ports"]
            return Server("127.0.0.1", ports["gateway"], f"127.0.0.1:{ports['grpc']}", ports["http"], process.pid)
        time.sleep(0.1)
    raise SystemExit("The stack did not come up; try `gateway up` by hand to see why.")


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").is_success
    except httpx.TransportError:
        return False


def request(texts: str | list[str]) -> bytes:
    """A POST to /v1/embeddings that asks for base64."""
    body = json.dumps({"model": MODEL, "input": texts, "encoding_format": "base64"}).encode()
    return post("/v1/embeddings", body, host="localhost")


def vectors(body: bytes) -> Float32Array:
    """float32 [inputs, dimensions] out of an answer to `request`."""
    rows = [np.frombuffer(base64.b64decode(item["embedding"]), "<f4") for item in json.loads(body)["data"]]
    return np.stack(rows)


def hardware() -> dict[str, str]:
    """What a figure needs beside it to mean anything."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    packages = ("onnxruntime", "numpy", "tokenizers", "fastapi", "uvicorn", "grpcio", "nvidia-pytriton")
    return {
        "date": date.today().isoformat(),
        "cpu": f"{cpu}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "kernel": platform.release(),
        "load before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "versions": ", ".join(f"{name} {version(name)}" for name in packages),
    }
