"""How threads, calls side by side and tokens a call go together on this processor: ONNX Runtime alone, fp32.

    .venv/bin/python -m benchmarks.cpu_threads [--model NAME] [--repeats 5] [--json RESULT.json]

The same texts of mixed length, cut into batches of each size, are computed by one session that so many threads of this
process call at once, each call on so many threads of its own. Everything is measured in turns, repeat after repeat. A
ratio is to the ceiling of `gateway bench`: one call at a time on all cores, whose threads spin, 512 tokens. CPU is
beside the ceiling's as well; on a machine that does other things too it says more than the time.
Then one short text alone, at rest between calls: what spinning costs and saves.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import onnxruntime
from rich.console import Console
from rich.table import Table

from benchmarks.command import at_least, exit_with, installed_embedder
from gateway.bench.machine import hardware, versions
from gateway.bench.model_rows import ModelRows
from gateway.bench.texts import mixed_length, short_queries
from gateway.cards.schema import VERSION_FOLDER, Card

BUDGETS = (128, 256, 512, 1024, 2048)
CEILING_TOKENS = 512
LONE_CALLS_A_REPEAT = 8
REST_SECONDS = 0.01

Feeds = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """So many calls at once, each on so many threads, of so many tokens."""

    side_by_side: int
    threads: int
    tokens: int
    spinning: bool = False

    @property
    def name(self) -> str:
        return f"{self.side_by_side} x {self.threads}{' spinning' if self.spinning else ''}"


@dataclass(frozen=True, slots=True)
class Cost:
    seconds: float
    cpu_seconds: float


class Engine:
    """One model's sessions, one for each number of threads."""

    def __init__(self, card: Card) -> None:
        self._graph = card.path_of(f"{VERSION_FOLDER}/{card.triton.default_model_filename}")
        self._output = ModelRows(card).reading.output
        self._sessions: dict[tuple[int, bool], onnxruntime.InferenceSession] = {}

    def run(self, setting: Setting, feeds: Feeds) -> None:
        self.session(setting).run([self._output], feeds)

    def session(self, setting: Setting) -> onnxruntime.InferenceSession:
        key = (setting.threads, setting.spinning)
        if key not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = setting.threads
            options.enable_mem_pattern = False
            options.add_session_config_entry("session.intra_op.allow_spinning", str(int(setting.spinning)))
            self._sessions[key] = onnxruntime.InferenceSession(self._graph, options, providers=["CPUExecutionProvider"])
        return self._sessions[key]


def settings_for(cores: int) -> list[Setting]:
    """Every way to share out the cores evenly, and one thread alone, with every number of tokens."""
    ways = [(cores // threads, threads) for threads in range(1, cores + 1) if cores % threads == 0]
    ways += [(1, 1)] if (1, 1) not in ways else []
    found = [Setting(*way, tokens) for way, tokens in itertools.product(ways, BUDGETS)]
    return [ceiling(cores), *found]


def ceiling(cores: int) -> Setting:
    return Setting(1, cores, CEILING_TOKENS, spinning=True)


def batches_of(card: Card, texts: Sequence[str], *, tokens: int) -> list[Feeds]:
    """Sorted and cut as the ceiling of `gateway bench` cuts them."""
    batching = replace(card.batching, max_batch_tokens=tokens)
    return [batch.tensors for batch in ModelRows(replace(card, batching=batching)).batches(texts)]


def cost_of(act: Callable[[], object]) -> Cost:
    cpu, begin = time.process_time(), time.perf_counter()
    act()
    return Cost(time.perf_counter() - begin, time.process_time() - cpu)


def compute(engine: Engine, setting: Setting, batches: Sequence[Feeds], pool: ThreadPoolExecutor) -> None:
    """All batches, each taken by the thread that is free first."""
    left, lock = iter(batches), threading.Lock()

    def work() -> None:
        while True:
            with lock:
                batch = next(left, None)
            if batch is None:
                return
            engine.run(setting, batch)

    for task in [pool.submit(work) for _ in range(setting.side_by_side)]:
        task.result()


def curve(engine: Engine, card: Card, *, cores: int, texts: Sequence[str], repeats: int) -> list[dict[str, Any]]:
    """One line a setting: medians over the repeats, as ratios to the ceiling of the same repeat."""
    prepared = {tokens: batches_of(card, texts, tokens=tokens) for tokens in {CEILING_TOKENS, *BUDGETS}}
    settings = settings_for(cores)
    costs: dict[Setting, list[Cost]] = {setting: [] for setting in settings}
    with ThreadPoolExecutor(cores) as pool:
        for setting in settings:
            engine.run(setting, prepared[setting.tokens][0])
        for _ in range(repeats):
            for setting in settings:
                batches = prepared[setting.tokens]
                costs[setting].append(cost_of(lambda: compute(engine, setting, batches, pool)))  # noqa: B023 - runs now
    base = costs[ceiling(cores)]
    return [line(setting, costs[setting], base, texts=len(texts)) for setting in settings]


def line(setting: Setting, costs: Sequence[Cost], base: Sequence[Cost], *, texts: int) -> dict[str, Any]:
    ratios = [one.seconds / own.seconds for one, own in zip(base, costs, strict=True)]
    cpu = [own.cpu_seconds / one.cpu_seconds for one, own in zip(base, costs, strict=True)]
    return {
        **asdict(setting),
        "name": setting.name,
        "texts_per_second": texts / statistics.median(own.seconds for own in costs),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "cpu_ratio": statistics.median(cpu),
    }


def lone(engine: Engine, card: Card, *, cores: int, repeats: int) -> list[dict[str, Any]]:
    """One short text at a time, with a rest between calls in which spinning threads go on for a while."""
    [feeds] = batches_of(card, short_queries(1, seed=3), tokens=CEILING_TOKENS)
    threads = sorted({1, cores})
    settings = [Setting(1, count, CEILING_TOKENS, spinning) for count in threads for spinning in (False, True)]
    seconds: dict[Setting, list[float]] = {setting: [] for setting in settings}
    cpu: dict[Setting, list[float]] = {setting: [] for setting in settings}
    for _ in range(LONE_CALLS_A_REPEAT * repeats):
        for setting in settings:
            before, begin = time.process_time(), time.perf_counter()
            engine.run(setting, feeds)
            seconds[setting].append(time.perf_counter() - begin)
            time.sleep(REST_SECONDS)
            cpu[setting].append(time.process_time() - before)
    return [
        {
            "name": setting.name,
            "median_ms": 1e3 * statistics.median(seconds[setting]),
            "fastest_ms": 1e3 * min(seconds[setting]),
            "cpu_ms": 1e3 * statistics.median(cpu[setting]),
        }
        for setting in settings
    ]


def show(record: dict[str, Any]) -> None:
    console = Console()
    table = Table(title=f"{record['model']}, {record['hardware']['cpu']}, {record['cores']} cores, {record['date']}")
    for heading in ("calls x threads", "tokens", "texts/s", "ratio", "from", "to", "CPU"):
        table.add_column(heading, justify="right")
    for one in record["curve"]:
        low, high = one["ratio_range"]
        figures = (one["ratio"], low, high, one["cpu_ratio"])
        texts = f"{one['texts_per_second']:.0f}"
        table.add_row(one["name"], str(one["tokens"]), texts, *(f"{figure:.2f}" for figure in figures))
    console.print(table)
    table = Table(title="one short text alone")
    for heading in ("calls x threads", "fastest ms", "median ms", "CPU ms"):
        table.add_column(heading, justify="right")
    for one in record["lone"]:
        table.add_row(one["name"], *(f"{one[key]:.2f}" for key in ("fastest_ms", "median_ms", "cpu_ms")))
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="all-MiniLM-L6-v2", help="an embedding model that a graph computes")
    parser.add_argument("--texts", type=at_least(1), default=128, help="texts a repeat (default: 128)")
    parser.add_argument("--repeats", type=at_least(1), default=5, help="how often everything is measured (default: 5)")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    card = installed_embedder(arguments.model)
    cores = len(os.sched_getaffinity(0))
    engine = Engine(card)
    texts = mixed_length(arguments.texts, seed=11)
    record = {
        "date": date.today().isoformat(),
        "model": card.name,
        "hardware": hardware(),
        "versions": versions(),
        "cores": cores,
        "load_before": os.getloadavg(),
        "curve": curve(engine, card, cores=cores, texts=texts, repeats=arguments.repeats),
        "lone": lone(engine, card, cores=cores, repeats=arguments.repeats),
    }
    show(record)
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    exit_with(main)
