"""How much of the machine the gateway hands on: ratios against in-process ONNX Runtime, all in one run.

    python -m benchmarks.ratios --json benchmarks/results/DATE-HOST.json

Starts its own embedded Triton and gateway on free ports, interleaves the contenders A-B-B-A, repeats, and reports
medians. The run is void (exit 1) when the gateway's vectors differ from the in-process ones by more than 1e-5.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.ceiling import Ceiling
from benchmarks.load_client import Connection, LoadResult, run_load
from benchmarks.stack import MODEL, ROOT, Server, hardware, request, running_stack, vectors
from benchmarks.workloads import mixed_length, short_queries
from gateway.triton.engine import InferCall
from gateway.triton.grpc_engine import GrpcEngine

BULK_SIZE = 256
MAX_DIFFERENCE = 1e-5


@dataclass(frozen=True, slots=True)
class Round:
    """One repeat of every contender. Rates are texts per second, latencies seconds."""

    ceiling_bulk: float
    bulk_one_client: float
    bulk_four_clients: float
    ceiling_short: float
    short_64_clients: float
    grpc_median: float
    gateway_median: float
    grpc_p99: float
    gateway_p99: float


def load(server: Server, requests: list[bytes], *, clients: int, seconds: float) -> LoadResult:
    return asyncio.run(run_load(requests, host=server.host, port=server.http_port, clients=clients, seconds=seconds))


async def largest_difference(server: Server, ceiling: Ceiling, texts: list[str]) -> float:
    """Between the gateway's vectors and the in-process ones: max abs over all values."""
    connection = await Connection.open(server.host, server.http_port)
    answer = vectors(await connection.exchange(request(texts)))
    connection.close()
    return float(np.abs(answer - ceiling.embed(texts)).max())


async def latencies(server: Server, ceiling: Ceiling, texts: list[str], count: int) -> tuple[list[float], list[float]]:
    """Seconds of one short query at a time, direct gRPC and gateway in turn."""
    engine = GrpcEngine(server.grpc_address)
    connection = await Connection.open(server.host, server.http_port)
    direct, through = [], []
    for number in range(count):
        text = texts[number % len(texts)]
        tensors = ceiling.sorted_batches(ceiling.ids([text]))[0][1]
        begin = time.perf_counter()
        await engine.infer(InferCall(MODEL, tensors, ["sentence_embedding"]), timeout_seconds=10)
        direct.append(time.perf_counter() - begin)
        body = request(text)
        begin = time.perf_counter()
        await connection.exchange(body)
        through.append(time.perf_counter() - begin)
    connection.close()
    await engine.close()
    return direct, through


def measure(server: Server, ceiling: Ceiling, *, seconds: float, forwards: bool) -> Round:
    bulk = [mixed_length(BULK_SIZE, seed=seed) for seed in range(8)]
    short = short_queries(1024, seed=99)
    bulk_requests = [request(texts) for texts in bulk]
    short_requests = [request(text) for text in short]
    results: dict[str, float] = {}

    def bulk_load(clients: int) -> float:
        return load(server, bulk_requests, clients=clients, seconds=seconds).per_second * BULK_SIZE

    steps: list[tuple[str, Callable[[], float]]] = [
        ("ceiling_bulk", lambda: ceiling.texts_per_second(bulk[0] + bulk[1], seconds=seconds)),
        ("bulk_one_client", lambda: bulk_load(1)),
        ("bulk_four_clients", lambda: bulk_load(4)),
        ("short_64_clients", lambda: load(server, short_requests, clients=64, seconds=seconds).per_second),
        ("ceiling_short", lambda: ceiling.texts_per_second(short, seconds=seconds)),
    ]
    for name, step in steps if forwards else reversed(steps):
        results[name] = step()
    direct, through = asyncio.run(latencies(server, ceiling, short, 300))
    return Round(
        **results,
        grpc_median=statistics.median(direct),
        gateway_median=statistics.median(through),
        grpc_p99=float(np.percentile(direct, 99)),
        gateway_p99=float(np.percentile(through, 99)),
    )


def summary(rounds: list[Round]) -> dict[str, list[float]]:
    """Each figure as [median, lowest, highest] over the repeats; ratios are taken within a repeat."""
    figures = {
        "bulk, 1 client / ceiling": [r.bulk_one_client / r.ceiling_bulk for r in rounds],
        "bulk, 4 clients / ceiling": [r.bulk_four_clients / r.ceiling_bulk for r in rounds],
        "64 clients x 1 short query / ceiling": [r.short_64_clients / r.ceiling_short for r in rounds],
        "added latency, median (ms)": [1e3 * (r.gateway_median - r.grpc_median) for r in rounds],
        "added latency, p99 (ms)": [1e3 * (r.gateway_p99 - r.grpc_p99) for r in rounds],
        "ceiling bulk (texts/s)": [r.ceiling_bulk for r in rounds],
        "gateway bulk, 1 client (texts/s)": [r.bulk_one_client for r in rounds],
        "gateway bulk, 4 clients (texts/s)": [r.bulk_four_clients for r in rounds],
        "ceiling short (texts/s)": [r.ceiling_short for r in rounds],
        "gateway short, 64 clients (texts/s)": [r.short_64_clients for r in rounds],
        "direct gRPC, median (ms)": [1e3 * r.grpc_median for r in rounds],
        "gateway, median (ms)": [1e3 * r.gateway_median for r in rounds],
    }
    return {name: [statistics.median(values), min(values), max(values)] for name, values in figures.items()}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each throughput measurement")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    console = Console()
    machine = hardware()
    ceiling = Ceiling(ROOT / "model_repository" / MODEL / "1")
    with running_stack() as server:
        difference = asyncio.run(largest_difference(server, ceiling, mixed_length(BULK_SIZE, seed=1)))
        measure(server, ceiling, seconds=1.0, forwards=True)
        rounds = []
        for number in range(arguments.repeats):
            console.print(f"repeat {number + 1} of {arguments.repeats} ...", style="dim")
            rounds.append(measure(server, ceiling, seconds=arguments.seconds, forwards=number % 2 == 0))
    figures = summary(rounds)
    table = Table("figure", "median", "lowest", "highest", title=f"{machine['date']}, {machine['cpu']}")
    for name, values in figures.items():
        table.add_row(name, *(f"{value:.3f}" for value in values))
    console.print(table)
    console.print(
        f"largest difference to the in-process vectors: {difference:.1e}; load before: {machine['load before']}"
    )
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        record = {"machine": machine, "largest_difference": difference, "figures": figures}
        arguments.json.write_text(json.dumps(record | {"rounds": [asdict(r) for r in rounds]}, indent=1) + "\n")
    if difference > MAX_DIFFERENCE:
        console.print(f"VOID: the vectors differ by more than {MAX_DIFFERENCE:g}.", style="red")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
