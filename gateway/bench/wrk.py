"""wrk as load generator, where it is installed: in C, so that it leaves the cores to the server under test."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.bench.spread import LEAST_ANSWERS
from gateway.bench.target import Target

SCRIPT = Path(__file__).with_name("wrk.lua")
HOW_TO_GET = (
    "wrk is not installed, so single and many have the Python client's figures alone. "
    "Debian and Ubuntu: apt install wrk. macOS: brew install wrk."
)
TIMEOUT_SECONDS = 60
MICROSECONDS_A_SECOND = 1e6
MICROSECONDS_A_MILLISECOND = 1e3

_LINE = re.compile(r"^BENCH (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+) ([\d.]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class WrkLoad:
    """`latencies_ms` are p50, p90 and p99; `client_cpu_seconds` is wrk's own processor time."""

    requests: int
    seconds: float
    errors: int
    latencies_ms: tuple[float, float, float]
    client_cpu_seconds: float

    @property
    def texts(self) -> int:
        return max(0, self.requests - self.errors)

    def figures(self) -> dict[str, float]:
        own = {"texts_per_second": self.texts / self.seconds, "errors": float(self.errors)}
        own["client_cpu_seconds"] = self.client_cpu_seconds
        own["answers"] = float(self.texts)
        known = zip(LEAST_ANSWERS.items(), self.latencies_ms, strict=True)
        return own | {f"latency_p{percent}_ms": value for (percent, least), value in known if self.texts >= least}


def installed() -> str | None:
    """Where wrk is, None where it is not."""
    return shutil.which("wrk")


def run_wrk(program: str, target: Target, texts: Sequence[str], *, clients: int, seconds: float) -> WrkLoad:
    """`clients` connections of one text a request, from one thread, for `seconds` rounded to whole ones, one at least.

    Raises `RuntimeError` where wrk fails or takes far longer than it was told.
    """
    whole = max(1, round(seconds))
    before = _children_seconds()
    with tempfile.TemporaryDirectory() as folder:
        bodies = Path(folder) / "bodies"
        bodies.write_bytes(b"".join(target.body(text) + b"\n" for text in texts))
        options = ["-t1", f"-c{clients}", f"-d{whole}s", f"--timeout={TIMEOUT_SECONDS}s", "-s", str(SCRIPT), target.url]
        printed = _printed([program, *options, "--", str(bodies)], key=target.key, limit=whole + TIMEOUT_SECONDS)
    return read_line(printed, client_cpu_seconds=_children_seconds() - before)


def _printed(command: Sequence[str], *, key: str | None, limit: float) -> str:
    environment = {**os.environ, "BENCH_KEY": key or ""}
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=limit, check=False, start_new_session=True
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError("wrk did not end in time") from None
    if result.returncode != 0:
        raise RuntimeError(f"wrk failed: {(result.stderr or result.stdout).strip()[:200]}")
    return result.stdout


def read_line(printed: str, *, client_cpu_seconds: float) -> WrkLoad:
    """What the script printed. Raises `RuntimeError` where it printed nothing of the kind."""
    found = _LINE.search(printed)
    if found is None:
        raise RuntimeError("wrk printed no figures")
    requests, duration, errors, *latencies = map(float, found.groups())
    p50, p90, p99 = (latency / MICROSECONDS_A_MILLISECOND for latency in latencies)
    seconds = duration / MICROSECONDS_A_SECOND
    return WrkLoad(int(requests), seconds, int(errors), (p50, p90, p99), client_cpu_seconds)


def _children_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
