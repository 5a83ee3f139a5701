"""jina-embeddings-v4 on this machine's GPU: tokens a second, and the share of what the chip's matrix products reach.

    python -m benchmarks.gpu_v4 --json benchmarks/results/DATE-CARD.json

A model of the full size with random weights (8 GB in a temporary folder, no download) is loaded and called as Triton
does it, without Triton and the gateway around it. The ceiling is measured in the same run: the best of several bfloat16
products of two square matrices.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.v4_checkpoint import FULL_SIZE, RANK, TASKS, write_checkpoint
from benchmarks.v4_work import image_operations, text_operations
from gateway.python_backend.call_rows import CallRow
from gateway.python_backend.embedder import Embedder
from gateway.python_backend.loading import load_embedder
from gateway.python_backend.options import ServingOptions
from gateway.python_backend.placement import place

CALL_TOKENS = 8192  # what the card's [batching] lets the gateway put into one call
PROMPT_BEFORE, PROMPT_AFTER = 4, 8  # tokens of the image prompt around the image's own
IMAGE_SIDES = (672, 896)  # 24 x 32 = 768 tokens
REPEATS = 20
WARM_UPS = 3
CEILING_SIDE = 8192


@dataclass(frozen=True, slots=True)
class Workload:
    """One call, again and again: its rows, its tokens, and the operations that it takes."""

    name: str
    rows: tuple[CallRow, ...]
    operations: int

    @property
    def tokens(self) -> int:
        return sum(len(row.ids) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Figure:
    """What a workload came to. Rates are those of the median call; `share` is of the ceiling."""

    name: str
    rows: int
    tokens: int
    median_seconds: float
    lowest_seconds: float
    highest_seconds: float
    tokens_per_second: float
    operations_per_second: float
    share: float


def text_workload(config: Any, *, tokens: int, call_tokens: int = CALL_TOKENS, adapter_rank: int) -> Workload:
    """As many texts of this length as fit into a call, their tasks mixed."""
    random = np.random.default_rng(tokens)
    rows = [
        CallRow(ids, number % len(TASKS), 0, tokens, np.empty((0, 2), np.int64))
        for number, ids in enumerate(_plain_ids(config, random, max(1, call_tokens // tokens), tokens))
    ]
    operations = text_operations(config, [tokens] * len(rows), adapter_rank=adapter_rank)
    return Workload(f"text, {tokens} tokens", tuple(rows), operations)


def image_workload(
    config: Any, *, sides: tuple[int, int] = IMAGE_SIDES, call_tokens: int = CALL_TOKENS, adapter_rank: int
) -> Workload:
    """As many images of this height and width, in pixels, as fit into a call, within their prompt."""
    vision, random = config.vision_config, np.random.default_rng(1)
    grid = (sides[0] // vision.patch_size, sides[1] // vision.patch_size)
    pads = grid[0] * grid[1] // vision.spatial_merge_size**2
    prompt = PROMPT_BEFORE + PROMPT_AFTER
    (around,) = _plain_ids(config, random, 1, prompt)
    around[PROMPT_BEFORE - 1], around[PROMPT_BEFORE] = config.vision_start_token_id, config.vision_end_token_id
    ids = np.concatenate([around[:PROMPT_BEFORE], np.full(pads, config.image_token_id), around[PROMPT_BEFORE:]])
    rows = tuple(
        CallRow(
            ids,
            number % len(TASKS),
            PROMPT_BEFORE - 1,
            PROMPT_BEFORE + pads + 1,
            np.empty((0, 2), np.int64),
            random.integers(0, 256, (*sides, 3), dtype=np.uint8),
        )
        for number in range(max(1, call_tokens // len(ids)))
    )
    operations = image_operations(config, [grid] * len(rows), prompt_tokens=prompt, adapter_rank=adapter_rank)
    return Workload(f"images, {pads} tokens", rows, operations)


def _plain_ids(config: Any, random: np.random.Generator, rows: int, tokens: int) -> np.ndarray:
    """Ids of ordinary tokens, which lie before the special ones."""
    special = min(config.image_token_id, config.vision_start_token_id, config.vision_end_token_id)
    return random.integers(0, special, (rows, tokens))


def measured(embedder: Embedder, workload: Workload, *, repeats: int, ceiling: float) -> Figure:
    """Raises `ValueError` where a vector is not of unit length: a fast wrong answer is none."""
    vectors = embedder.compute(workload.rows, ["embeddings"])["embeddings"]
    if not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3):
        raise ValueError(f"{workload.name}: the vectors are not finite or not of unit length.")
    seconds = timed(lambda: embedder.compute(workload.rows, ["embeddings"]), repeats=repeats)
    return figure(workload, seconds, ceiling=ceiling)


def figure(workload: Workload, seconds: Sequence[float], *, ceiling: float) -> Figure:
    median = statistics.median(seconds)
    rate = workload.operations / median
    return Figure(
        name=workload.name,
        rows=len(workload.rows),
        tokens=workload.tokens,
        median_seconds=median,
        lowest_seconds=min(seconds),
        highest_seconds=max(seconds),
        tokens_per_second=workload.tokens / median,
        operations_per_second=rate,
        share=rate / ceiling,
    )


def timed(work: Callable[[], object], *, repeats: int, warm_ups: int = WARM_UPS) -> list[float]:
    """Seconds of each repeat, with all that was sent to the GPU done."""
    for _ in range(warm_ups):
        work()
    seconds = []
    for _ in range(repeats):
        _synchronize()
        begin = time.perf_counter()
        work()
        _synchronize()
        seconds.append(time.perf_counter() - begin)
    return seconds


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def matrix_ceiling(device: Any, *, side: int = CEILING_SIDE, repeats: int = REPEATS) -> float:
    """Operations a second of the fastest bfloat16 product of two matrices of side x side."""
    one = torch.randn(side, side, dtype=torch.bfloat16, device=device)
    return 2 * side**3 / min(timed(lambda: torch.mm(one, one), repeats=repeats))


def report(folder: Path, *, repeats: int) -> dict[str, Any]:
    begin = time.perf_counter()
    write_checkpoint(folder, FULL_SIZE)
    written = time.perf_counter() - begin
    options = ServingOptions(folder, on_gpu=True, adapters=TASKS)
    placement = place(options)
    ceiling = matrix_ceiling(placement.device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    begin = time.perf_counter()
    embedder = load_embedder(options, placement)
    loaded = time.perf_counter() - begin
    loading_peak, held = torch.cuda.max_memory_allocated(), torch.cuda.memory_allocated()
    config, rank = embedder.network.model.config, RANK * len(TASKS)
    workloads = [
        text_workload(config, tokens=64, adapter_rank=rank),
        text_workload(config, tokens=512, adapter_rank=rank),
        image_workload(config, adapter_rank=rank),
    ]
    figures, peaks = [], {}
    for workload in workloads:
        torch.cuda.reset_peak_memory_stats()
        figures.append(asdict(measured(embedder, workload, repeats=repeats, ceiling=ceiling)))
        peaks[workload.name] = torch.cuda.max_memory_allocated() - held
    return {
        "machine": machine(),
        "attention": placement.attention,
        "matrix_operations_per_second": ceiling,
        "seconds_to_write_the_checkpoint": written,
        "seconds_to_load": loaded,
        "bytes_held": held,
        "bytes_at_most_while_loading": loading_peak,
        "bytes_at_most_beside_the_weights": peaks,
        "figures": figures,
    }


def machine() -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(0)
    return {
        "date": date.today().isoformat(),
        "gpu": properties.name,
        "gpu_bytes": properties.total_memory,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers")),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    ceiling = found["matrix_operations_per_second"]
    head = f"{found['machine']['gpu']}: bfloat16 matrix products reach {ceiling / 1e12:.0f} TFLOP/s; weights take "
    return [
        f"{head}{found['bytes_held'] / 1e9:.2f} GB, {found['seconds_to_load']:.0f} s to load.",
        *(
            f"{one['name']}: {one['rows']} rows a call, {one['tokens_per_second']:,.0f} tokens/s, "
            f"{one['operations_per_second'] / 1e12:.0f} TFLOP/s, {one['share']:.0%} of that"
            for one in found["figures"]
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write every figure there")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        print("This measures a GPU, and PyTorch sees none here (or is a build for CPU).", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        found = report(Path(folder) / "1", repeats=arguments.repeats)
    print(*lines(found), sep="\n")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
