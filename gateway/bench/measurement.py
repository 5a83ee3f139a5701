"""What is measured: one contender's figures in one workload of one repeat, and the words and units they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from gateway.bench.spread import latency_figures

MILLISECONDS = 1e3

UNITS: Mapping[str, str] = {
    "texts_per_second": "texts/s",
    "requests_per_second": "requests/s",
    "answers": "requests",
    "latency_p50_ms": "ms",
    "latency_p90_ms": "ms",
    "latency_p99_ms": "ms",
    "idle_p50_ms": "ms",
    "idle_p99_ms": "ms",
    "offered_per_second": "requests/s",
    "unanswered": "requests",
    "errors": "requests",
    "server_cpu_seconds": "s",
    "client_cpu_seconds": "s",
    "server_cpu_ms_per_text": "ms",
    "padding_ratio": "",
    "p99_over_idle": "",
    "bulk_over_alone": "",
    "texts_per_cpu_second": "texts/s",
    "added_p50_ms": "ms",
    "added_p99_ms": "ms",
    "paired_p99_ms": "ms",
    "encode_base64_ms": "ms",
    "encode_float_ms": "ms",
    "memory_idle_mb": "MB",
    "memory_peak_mb": "MB",
    "memory_rise_mb": "MB",
    "memory_slope_mb_per_minute": "MB/min",
    "slowest_over_fastest": "",
    "cpu_slowest_over_fastest": "",
}
"""Every figure that a run may give, with its unit; empty for a ratio."""


class Generator(Enum):
    """What sends the load: nothing but a loop in this process, this process, or wrk."""

    IN_PROCESS = "in-process"
    PYTHON = "python"
    WRK = "wrk"


@dataclass(frozen=True, slots=True)
class Load:
    """What became of a load. `seconds` is wall time; `latencies` holds seconds, one an answered request. `errors` are
    requests that were not answered with a 200. Of the last answer `last_request` is the request's place and `last_body`
    what came, for a check of its vectors."""

    texts: int
    seconds: float
    latencies: Sequence[float] = ()
    errors: int = 0
    last_request: int | None = None
    last_body: bytes = b""

    def figures(self) -> dict[str, float]:
        own = {"texts_per_second": self.texts / self.seconds, "errors": float(self.errors)}
        answers = {"answers": float(len(self.latencies))} if self.latencies else {}
        return own | answers | latency_figures(self.latencies)


@dataclass(frozen=True, slots=True)
class Measurement:
    """One contender in one workload of one repeat; `figures` by the names of `UNITS`."""

    workload: str
    contender: str
    generator: Generator
    repeat: int
    figures: Mapping[str, float] = field(default_factory=dict)
