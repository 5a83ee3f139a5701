"""What each precision costs in quality and brings in speed, for one installed model.

    .venv/bin/python -m benchmarks.precision                        prints a table and writes benchmarks/results/
    .venv/bin/python -m benchmarks.precision --json report.json     writes the report there instead
    .venv/bin/python -m benchmarks.precision --model NAME --texts 1500 --repeats 7

Against float32 by ONNX Runtime: the cosine of every text's vector, how many of each query's ten nearest texts stay, the
largest difference that sharing a batch makes, throughput in turns with the float32 ceiling, and memory. Texts are
paragraphs of this repository's documents and of docstrings of installed packages. `--texts 11 --memory-texts 1
--repeats 1` shows in some twenty seconds that everything works.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import psutil

from benchmarks.command import REPOSITORY, ROOT, at_least, exit_with, installed_embedder
from benchmarks.eight_bits import write_eight_bits
from benchmarks.natural_texts import natural_texts
from gateway.artifacts.fast_machine import this_machine
from gateway.artifacts.inference import Batch, feeds_of, padded
from gateway.artifacts.measuring import load_tokenizer
from gateway.cards.loading import load_card
from gateway.cards.schema import Card
from gateway.errors import ConfigurationError
from gateway.triton.embedded.backend_directory import OUR_BACKENDS

NEAREST = 10
BATCH_TOKENS = 512
# Each has some eight texts of different lengths.
MIXED_CALLS = 60
CORES = psutil.cpu_count() or 1

Run = Callable[[dict[str, npt.NDArray[Any]]], npt.NDArray[Any]]


@dataclass(slots=True)
class Contender:
    """`run` computes one call; `side_by_side` calls are kept under way at once."""

    name: str
    run: Run
    side_by_side: int


@dataclass(slots=True)
class Row:
    """One precision's line. Cosines are with float32 by ONNX Runtime; the throughput ratio is to its ceiling."""

    precision: str
    cosine_min: float
    cosine_p1: float
    cosine_mean: float
    top10_overlap: float
    batch_difference: float
    throughput_ratio: float = 0.0
    throughput_spread: tuple[float, float] = (0.0, 0.0)
    texts_per_second: float = 0.0
    cpu_ms_per_text: float = 0.0
    lone_ms: float = 0.0
    memory_mb: float = 0.0


@dataclass(slots=True)
class Work:
    """`alone` is a call a text; `mixed` are calls of texts of any lengths, `sorted` of like ones, each with the numbers
    of its texts."""

    card: Card
    alone: list[Batch] = field(default_factory=list)
    mixed: list[tuple[list[int], Batch]] = field(default_factory=list)
    sorted: list[tuple[list[int], Batch]] = field(default_factory=list)


def main() -> int:
    asked = arguments()
    card = installed_embedder(asked.model)
    if importlib.util.find_spec("openvino") is None:
        raise ConfigurationError("OpenVINO, which this measures, is not installed.", remedy="scripts/install_fast.sh")
    work = work_of(card, texts_of(asked.texts))
    with contenders(card) as known:
        rows = [quality(contender, work, reference) for contender, reference in with_reference(known, work)]
        speeds(known, rows, work, repeats=asked.repeats)
    texts = texts_of(asked.memory_texts)
    for row in rows:
        row.memory_mb = memory_of(row.precision, asked.model, texts=texts)
    report = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": card.name,
        "texts": len(work.alone),
        "machine": f"{this_machine()}, {CORES} cores",
        "load_before": LOAD_BEFORE,
        "versions": {name: version(name) for name in ("onnxruntime", "openvino", "numpy")} | python_version(),
        "repeats": asked.repeats,
        "rows": [asdict(row) for row in rows],
    }
    target = asked.json or ROOT / "benchmarks" / "results" / f"{datetime.now(UTC):%Y-%m-%d}-precision-{card.name}.json"
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"{table(rows)}\nWritten to {target}.")
    return 0


LOAD_BEFORE = psutil.getloadavg()[0]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="all-MiniLM-L6-v2", help="an installed model of one card")
    least = NEAREST + 1  # of fewer, all others are among the nearest
    parser.add_argument("--texts", type=at_least(least), default=1000, help="how many texts (default: 1000)")
    parser.add_argument("--repeats", type=at_least(1), default=5, help="rounds of the timed part (default: 5)")
    parser.add_argument(
        "--memory-texts", type=at_least(1), default=300, help="texts of which memory is measured (default: 300)"
    )
    parser.add_argument("--json", type=Path, help="where to write the report")
    return parser.parse_args()


def python_version() -> dict[str, str]:
    return {"python": platform.python_version()}


def texts_of(count: int) -> list[str]:
    try:
        return natural_texts(ROOT, count=count)
    except ValueError as error:
        raise ConfigurationError(f"There are too few texts here: {error}.", remedy="Ask for fewer.") from None


def work_of(card: Card, texts: Sequence[str]) -> Work:
    """The texts cut to the window, as calls of one, of random neighbours, and of neighbours of like length."""
    window = card.tokenizer.max_tokens
    rows = [one.ids[:window] for one in load_tokenizer(card).encode(tuple(texts))]
    pad_id = card.tokenizer.pad_id
    shuffled = random.Random(5).sample(range(len(rows)), len(rows))
    by_length = sorted(range(len(rows)), key=lambda number: -len(rows[number]))

    def calls(order: Sequence[int], budget: int) -> list[tuple[list[int], Batch]]:
        found: list[list[int]] = [[]]
        for number in order:
            longest = max(len(rows[one]) for one in [*found[-1], number])
            if found[-1] and (len(found[-1]) + 1) * longest > budget:
                found.append([])
            found[-1].append(number)
        return [(numbers, padded([rows[one] for one in numbers], pad_id=pad_id)) for numbers in found]

    return Work(
        card,
        alone=[padded([row], pad_id=pad_id) for row in rows],
        mixed=calls(shuffled, 2 * BATCH_TOKENS)[:MIXED_CALLS],
        sorted=calls(by_length, BATCH_TOKENS),
    )


@contextmanager
def contenders(card: Card) -> Iterator[list[Contender]]:
    """Float32 as it is served exactly, then the others; the last has no rows of its own in blocks, to show why."""
    sys.path.insert(0, str(OUR_BACKENDS / "onnxruntime"))
    with tempfile.TemporaryDirectory() as folder:
        yield [contender(name, card, Path(folder)) for name in PRECISIONS]


PRECISIONS = (
    "float32, ONNX Runtime",
    "bfloat16, OpenVINO",
    "float32, OpenVINO",
    "8-bit weights, ONNX Runtime",
    "unpadded",
)
NAMES = {"unpadded": "bfloat16, OpenVINO, not in whole blocks"}


def contender(name: str, card: Card, folder: Path) -> Contender:
    graph = card.path_of(f"1/{card.triton.default_model_filename}")
    assert card.triton.embedding_output is not None
    output = card.triton.embedding_output.tensor.name
    if name == "8-bit weights, ONNX Runtime":
        graph = write_eight_bits(graph, folder / "model.onnx")
    if name.endswith("ONNX Runtime"):
        session = one_thread_session(graph)
        return Contender(name, lambda feeds: session.run([output], feeds)[0], CORES)
    if name == "bfloat16, OpenVINO":
        from onnxruntime_backend import openvino_execution  # type: ignore[import-not-found]

        # Nobody else here gives way to other programs.
        openvino_execution.lanes.BULK_NICENESS = 0
        execution = openvino_execution.OpenVinoExecution(graph, {})
        return Contender(name, lambda feeds: execution.run([output], feeds, all_cores=False)[0], CORES)
    hint = "bf16" if name == "unpadded" else "f32"
    return Contender(NAMES.get(name, name), plain_openvino(graph, output, hint), CORES)


def plain_openvino(graph: Path, output: str, hint: str) -> Run:
    import queue

    import openvino

    settings = {"INFERENCE_PRECISION_HINT": hint, "NUM_STREAMS": str(CORES), "INFERENCE_NUM_THREADS": CORES}
    compiled = openvino.Core().compile_model(graph, "CPU", settings)
    free: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(CORES):
        free.put(compiled.create_infer_request())

    def run(feeds: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        request = free.get()
        try:
            request.infer(feeds)
            return np.array(request.get_tensor(output).data)
        finally:
            free.put(request)

    return run


def one_thread_session(graph: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def vectors(contender: Contender, work: Work, calls: Sequence[Batch]) -> list[npt.NDArray[np.float64]]:
    """Unit vectors of each call, computed as many at once as the contender takes."""
    with ThreadPoolExecutor(contender.side_by_side) as threads:
        values = threads.map(lambda batch: contender.run(dict(feeds_of(work.card, batch))), calls)
        return [units(value) for value in values]


def units(value: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    wide = np.asarray(value, dtype=np.float64)
    unit: npt.NDArray[np.float64] = wide / np.linalg.norm(wide, axis=-1, keepdims=True)
    return unit


def with_reference(known: Sequence[Contender], work: Work) -> Iterator[tuple[Contender, npt.NDArray[np.float64]]]:
    reference = np.concatenate(vectors(known[0], work, work.alone))
    return ((contender, reference) for contender in known)


def quality(contender: Contender, work: Work, reference: npt.NDArray[np.float64]) -> Row:
    told(f"vectors: {contender.name}")
    alone = np.concatenate(vectors(contender, work, work.alone))
    cosines = (alone * reference).sum(axis=1)
    mixed = zip(work.mixed, vectors(contender, work, [batch for _, batch in work.mixed]), strict=True)
    return Row(
        contender.name,
        cosine_min=float(cosines.min()),
        cosine_p1=float(np.percentile(cosines, 1)),
        cosine_mean=float(cosines.mean()),
        top10_overlap=overlap(alone, reference),
        batch_difference=max(float(np.abs(given - alone[numbers]).max()) for (numbers, _), given in mixed),
    )


def overlap(given: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float:
    """Of each text's ten nearest others by `reference`, the share that are among its ten nearest by `given`."""
    nearest = [np.argsort(-(each @ each.T) + 9 * np.eye(len(each)), axis=1)[:, :NEAREST] for each in (given, reference)]
    return statistics.mean(len(set(one) & set(other)) / NEAREST for one, other in zip(*nearest, strict=True))


def speeds(known: Sequence[Contender], rows: Sequence[Row], work: Work, *, repeats: int) -> None:
    """All texts in calls of like length, in turns with the ceiling: ONNX Runtime, all cores on one call, spinning."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = CORES
    graph = work.card.path_of(f"1/{work.card.triton.default_model_filename}")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    assert work.card.triton.embedding_output is not None
    outputs = [work.card.triton.embedding_output.tensor.name]
    ceiling = Contender("ceiling", lambda feeds: session.run(outputs, feeds)[0], 1)
    calls = list(islice((batch for _, batch in work.sorted), 0, None, 3))
    texts = sum(len(batch.ids) for batch in calls)
    seconds: dict[str, list[float]] = {one.name: [] for one in (ceiling, *known)}
    cpu: dict[str, list[float]] = {one.name: [] for one in (ceiling, *known)}
    for repeat in range(repeats + 1):
        told(f"speed: round {repeat} of {repeats}")
        for one in (ceiling, *known):
            begin, cpu_begin = time.perf_counter(), time.process_time()
            vectors(one, work, calls)
            if repeat:  # the first round warms up
                seconds[one.name].append(time.perf_counter() - begin)
                cpu[one.name].append(time.process_time() - cpu_begin)
    shortest = min(work.alone, key=lambda batch: batch.ids.shape[1])
    for row, one in zip(rows, known, strict=True):
        ratios = [base / own for base, own in zip(seconds[ceiling.name], seconds[one.name], strict=True)]
        row.throughput_ratio, row.throughput_spread = statistics.median(ratios), (min(ratios), max(ratios))
        row.texts_per_second = texts / statistics.median(seconds[one.name])
        row.cpu_ms_per_text = 1e3 * statistics.median(cpu[one.name]) / texts
        row.lone_ms = lone_ms(one, dict(feeds_of(work.card, shortest)))


def lone_ms(contender: Contender, feeds: dict[str, npt.NDArray[Any]], *, calls: int = 50) -> float:
    times = []
    for _ in range(calls):
        begin = time.perf_counter()
        contender.run(feeds)
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def told(step: str) -> None:
    print(step, file=sys.stderr, flush=True)


def memory_of(precision: str, model: str, *, texts: Sequence[str]) -> float:
    """Memory of its own, in MB, that a fresh process takes for loading and for the calls of these texts."""
    told(f"memory: {precision}")
    name = next((key for key, shown in NAMES.items() if shown == precision), precision)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_memory, (name, model, texts))


def _memory(name: str, model: str, texts: Sequence[str]) -> float:
    card = load_card(REPOSITORY / model)
    sys.path.insert(0, str(OUR_BACKENDS / "onnxruntime"))
    work = work_of(card, texts)
    before = psutil.Process().memory_full_info().uss
    with tempfile.TemporaryDirectory() as folder:
        one = contender(name, card, Path(folder))
        vectors(one, work, [batch for _, batch in work.sorted])
        return (psutil.Process().memory_full_info().uss - before) / 1e6


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| Precision | Cosine: least | 1 % | mean | Top 10 kept | In a batch | Throughput | CPU a text | Memory |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.precision} | {row.cosine_min:.6f} | {row.cosine_p1:.6f} | {row.cosine_mean:.6f} "
        f"| {row.top10_overlap:.2%} | {row.batch_difference:.1e} | {row.throughput_ratio:.2f} "
        f"({row.throughput_spread[0]:.2f} to {row.throughput_spread[1]:.2f}) | {row.cpu_ms_per_text:.1f} ms "
        f"| {row.memory_mb:.0f} MB |"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    exit_with(main)
