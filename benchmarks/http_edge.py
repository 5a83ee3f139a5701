"""CPU per request of the HTTP edge alone: the gateway as `gateway serve` sets it up, with a service behind the routes
that answers at once, under wrk; beside it the least that the same server can do for any ASGI app.

    python -m benchmarks.http_edge [--seconds 3] [--repeats 5] [--json RESULT.json]

Needs wrk. Log lines go to a file, as under `gateway up`. `--seconds 1 --repeats 1 --warm-up 0 --connections 8` shows in
a quarter of a minute that everything works.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import psutil
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.command import ROOT, at_least, exit_with
from gateway.app import create_app
from gateway.cli.serve import run_server
from gateway.dialects.base import Services
from gateway.errors import ConfigurationError
from gateway.settings import Settings
from gateway.types import EmbedRequest, EmbedResult, Usage

SIZE = 384
BODIES = {"float": b'{"input":"how tall is the tower in the old town of the city","model":"m"}'}
BODIES["base64"] = BODIES["float"][:-1] + b',"encoding_format":"base64"}'
SCENARIOS = ("bare", "float", "base64", "base64 after 2 ms")
START_SECONDS = 30.0


class AnsweringAtOnce:
    """An embedder with one vector for everything, at once or after `pause_seconds`."""

    def __init__(self, pause_seconds: float) -> None:
        vector = np.random.default_rng(1).standard_normal((1, SIZE)).astype(np.float32)
        self._answer = EmbedResult(model="m", vectors=vector, usage=Usage(prompt_tokens=14, total_tokens=14))
        self._pause_seconds = pause_seconds

    async def embed(self, _request: EmbedRequest) -> EmbedResult:
        if self._pause_seconds:
            await asyncio.sleep(self._pause_seconds)
        return self._answer


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads a body and answers 2,098 bytes of it: no parsing, no log, no metrics."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})
        return
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2098")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"x" * 2098})


def serve(scenario: str, port: int) -> None:
    settings = Settings(_env_file=None, port=port, log_format="json")  # type: ignore[call-arg]
    pause_seconds = 0.002 if scenario.endswith("2 ms") else 0.0

    @asynccontextmanager
    async def start(_metrics: Any) -> AsyncIterator[Services]:
        nothing: Any = SimpleNamespace()
        yield Services(
            embedder=AnsweringAtOnce(pause_seconds),
            reranker=nothing,
            classifier=nothing,
            segmenter=nothing,
            tokenizer=nothing,
            models=nothing,
            health=nothing,
        )

    app: ASGIApp = create_app(settings, start_services=start)
    run_server(settings, bare if scenario == "bare" else app)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Server:
    process: psutil.Process
    port: int

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system


@contextmanager
def running(scenario: str, folder: Path) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "benchmarks.http_edge", "--serve", scenario, "--port", str(port)]
        child = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        _wait_until_answered(child, port, folder / "log")
        yield Server(psutil.Process(child.pid), port)
    finally:
        child.terminate()
        child.wait(20)


def _wait_until_answered(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and child.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/live", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"The server did not start. It said:\n{log.read_text(errors='replace')[-2000:]}")


def loaded(server: Server, scenario: str, folder: Path, *, connections: int, seconds: int) -> dict[str, float]:
    body = BODIES["base64" if "base64" in scenario else "float"].decode()
    script = folder / "post.lua"
    script.write_text(
        f"wrk.method='POST' wrk.body=[[{body}]] wrk.headers['Content-Type']='application/json'\n"
        "done = function(s, l, _) print(string.format('RESULT %d %d %d %d', s.requests,"
        " s.errors.status + s.errors.read, l:percentile(50), l:percentile(99))) end\n"
    )
    before = server.cpu_seconds()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script)]
    ended = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}/v1/embeddings"], capture_output=True, text=True, check=True
    )
    used = server.cpu_seconds() - before
    line = next(line for line in ended.stdout.splitlines() if line.startswith("RESULT"))
    requests, errors, p50, p99 = map(int, line.split()[1:])
    if errors or not requests:
        raise SystemExit(f"{scenario}: {errors} of {requests} requests failed.")
    return {"cpu_us": used / requests * 1e6, "rps": requests / seconds, "p50_us": p50, "p99_us": p99}


def measure(
    connections: Sequence[int], *, seconds: int, repeats: int, warm_up_seconds: int
) -> dict[str, dict[str, float]]:
    """Medians over `repeats` rounds, each with every scenario in turn."""
    seen: dict[str, list[dict[str, float]]] = {}
    for _ in range(repeats):
        for scenario in SCENARIOS:
            with tempfile.TemporaryDirectory() as name, running(scenario, Path(name)) as server:
                for count in connections:
                    if warm_up_seconds:
                        loaded(server, scenario, Path(name), connections=count, seconds=warm_up_seconds)
                    figures = loaded(server, scenario, Path(name), connections=count, seconds=seconds)
                    seen.setdefault(f"{scenario}, {count} open", []).append(figures)
    return {name: {key: round(median(one[key] for one in all_), 1) for key in all_[0]} for name, all_ in seen.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=at_least(1), default=3, help="of each load, whole ones (default: 3)")
    parser.add_argument("--repeats", type=at_least(1), default=5, help="rounds of all scenarios (default: 5)")
    parser.add_argument("--warm-up", type=at_least(0), default=1, help="seconds of load before each (default: 1)")
    parser.add_argument(
        "--connections", type=at_least(1), nargs="+", default=[1, 64], help="open at once (default: 1, then 64)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    parser.add_argument("--serve", choices=SCENARIOS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve, asked.port)
        return 0
    if shutil.which("wrk") is None:
        raise ConfigurationError(
            "This needs wrk, which is not installed.",
            remedy="Debian and Ubuntu: apt install wrk. macOS: brew install wrk.",
        )
    load = os.getloadavg()[0]
    figures = measure(asked.connections, seconds=asked.seconds, repeats=asked.repeats, warm_up_seconds=asked.warm_up)
    print(f"load before: {load:.2f}")
    for name, row in figures.items():
        print(f"{name:28s}" + "".join(f"  {key} {value:>9.1f}" for key, value in row.items()))
    if asked.json:
        asked.json.write_text(json.dumps({"load_before": load, "figures": figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    exit_with(main)
