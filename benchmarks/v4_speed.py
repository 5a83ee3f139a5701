"""What `benchmarks.gpu_v4` measures: calls of texts and of images, beside the ceiling of the same run."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.v4_checkpoint import FULL_SIZE, RANK, TASKS, TINY_SIZE, write_checkpoint
from benchmarks.v4_work import image_operations, text_operations
from gateway.bench.machine import cpu_name
from gateway.python_backend.call_rows import CallRow
from gateway.python_backend.embedder import Embedder
from gateway.python_backend.loading import load_embedder
from gateway.python_backend.options import ServingOptions
from gateway.python_backend.placement import place

CALL_TOKENS = 8192  # what the card's [batching] lets the gateway put into one call
PROMPT_BEFORE, PROMPT_AFTER = 4, 8  # tokens of the image prompt around the image's own
IMAGE_SIDES = (672, 896)  # 24 x 32 = 768 tokens
WARM_UPS = 3


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the model, its calls and the ceiling's matrices are. `sides` are an image's height and width in pixels;
    on a processor memory is not measured."""

    sizes: dict[str, Any]
    rank: int
    call_tokens: int
    sides: tuple[int, int]
    ceiling_side: int
    on_gpu: bool


FULL = Scale(FULL_SIZE, RANK, CALL_TOKENS, IMAGE_SIDES, ceiling_side=8192, on_gpu=True)
TINY = Scale(TINY_SIZE, 4, 512, (56, 84), ceiling_side=64, on_gpu=False)


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


def _plain_ids(config: Any, random: np.random.Generator, rows: int, tokens: int) -> npt.NDArray[np.int64]:
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


def matrix_ceiling(device: Any, *, side: int, repeats: int) -> float:
    """Operations a second of the fastest bfloat16 product of two matrices of side x side."""
    one = torch.randn(side, side, dtype=torch.bfloat16, device=device)
    return 2 * side**3 / min(timed(lambda: torch.mm(one, one), repeats=repeats))


def report(folder: Path, scale: Scale, *, repeats: int) -> dict[str, Any]:
    """Every figure, from a checkpoint that is written into `folder`, which must not exist yet."""
    begin = time.perf_counter()
    write_checkpoint(folder, scale.sizes, rank=scale.rank)
    written = time.perf_counter() - begin
    options = ServingOptions(folder, on_gpu=scale.on_gpu, adapters=TASKS)
    placement, memory = place(options), Memory(scale.on_gpu)
    ceiling = matrix_ceiling(placement.device, side=scale.ceiling_side, repeats=repeats)
    memory.give_back()
    memory.forget()
    begin = time.perf_counter()
    embedder = load_embedder(options, placement)
    loaded = time.perf_counter() - begin
    loading_peak, held = memory.peak(), memory.held()
    figures, peaks = [], {}
    for workload in workloads(embedder.network.model.config, scale):
        memory.forget()
        figures.append(asdict(measured(embedder, workload, repeats=repeats, ceiling=ceiling)))
        peaks[workload.name] = memory.peak() - held
    return {
        "machine": machine(on_gpu=scale.on_gpu),
        "attention": placement.attention,
        "matrix_operations_per_second": ceiling,
        "seconds_to_write_the_checkpoint": written,
        "seconds_to_load": loaded,
        "bytes_held": held,
        "bytes_at_most_while_loading": loading_peak,
        "bytes_at_most_beside_the_weights": peaks,
        "figures": figures,
    }


def workloads(config: Any, scale: Scale) -> list[Workload]:
    rank, call_tokens = scale.rank * len(TASKS), scale.call_tokens
    return [
        text_workload(config, tokens=64, call_tokens=call_tokens, adapter_rank=rank),
        text_workload(config, tokens=512, call_tokens=call_tokens, adapter_rank=rank),
        image_workload(config, sides=scale.sides, call_tokens=call_tokens, adapter_rank=rank),
    ]


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes that PyTorch took on the GPU; 0 on a processor, where nobody counts them."""

    on_gpu: bool

    def forget(self) -> None:
        """The peak counts from here."""
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()

    def give_back(self) -> None:
        """What is kept of what was freed."""
        if self.on_gpu:
            torch.cuda.empty_cache()

    def peak(self) -> int:
        return int(torch.cuda.max_memory_allocated()) if self.on_gpu else 0

    def held(self) -> int:
        return int(torch.cuda.memory_allocated()) if self.on_gpu else 0


def machine(*, on_gpu: bool) -> dict[str, Any]:
    """`device` is what computed; `gpu` and its memory are None on a processor."""
    properties = torch.cuda.get_device_properties(0) if on_gpu else None
    return {
        "date": date.today().isoformat(),
        "device": properties.name if properties else cpu_name(),
        "gpu": properties.name if properties else None,
        "gpu_bytes": properties.total_memory if properties else None,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers")),
    }
