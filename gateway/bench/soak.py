"""What the gateway and Triton hold in memory under the largest requests there are, for as long as one likes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.bench.accounting import Account, accounted
from gateway.bench.closed_loop import closed_loop
from gateway.bench.contenders import HttpContender
from gateway.bench.measurement import Load, Measurement
from gateway.bench.processes import memory_bytes
from gateway.bench.texts import texts_of_words
from gateway.bench.workloads import Plan, Workload

CLIENTS = 8
# With the two special tokens of each, 2,048 such texts have 296,960 tokens; a request may have 300,000.
WORDS_A_TEXT = 143
# Eight requests wait for one another.
REQUEST_SECONDS = 900.0
SAMPLE_SECONDS = 1.0
IDLE_SAMPLES = 3
MEGABYTE = 1e6
SECONDS_A_MINUTE = 60.0

SETTINGS = {"GATEWAY_MAX_QUEUED_TOKENS": "4000000", "GATEWAY_REQUEST_TIMEOUT_SECONDS": "900"}
"""What a gateway that is started for this needs: eight such requests are more than may wait by default."""


@dataclass(slots=True)
class Memory:
    """Samples of a process and all below it: seconds since the first, and bytes."""

    pid: int | None
    at: list[float] = field(default_factory=list)
    held: list[int] = field(default_factory=list)

    def sample(self) -> None:
        held = memory_bytes(self.pid)
        if held is not None:
            self.at.append(time.perf_counter())
            self.held.append(held)

    def follow(self, is_over: threading.Event) -> None:
        while not is_over.wait(SAMPLE_SECONDS):
            self.sample()


@dataclass(frozen=True, slots=True)
class Soaked:
    """`idle` was sampled before the load, `under` while it ran."""

    load: Load
    idle: Memory
    under: Memory

    @property
    def texts(self) -> int:
        return self.load.texts

    def figures(self) -> dict[str, float]:
        return self.load.figures() | memory_figures(self.idle, self.under)


def memory_figures(idle: Memory, under: Memory) -> dict[str, float]:
    """In millions of bytes. The slope is a line through the second half of the samples, by least squares: what grows
    then goes on growing, while the first half also has what is needed once."""
    if not idle.held or not under.held:
        return {}
    before, most = float(np.median(idle.held)) / MEGABYTE, max(under.held) / MEGABYTE
    found = {"memory_idle_mb": before, "memory_peak_mb": most, "memory_rise_mb": most - before}
    half = len(under.held) // 2
    if len(under.held) - half >= 2:
        minutes = np.asarray(under.at[half:]) / SECONDS_A_MINUTE
        slope = np.polyfit(minutes - minutes[0], np.asarray(under.held[half:]) / MEGABYTE, 1)[0]
        found["memory_slope_mb_per_minute"] = float(slope)
    return found


def soak(server: HttpContender, account: Account, plan: Plan, repeat: int) -> Sequence[Measurement]:
    """Once a run; nothing in later repeats."""
    if repeat:
        return ()
    _, figures = accounted(account, lambda: _soaked(server, plan))
    return (Measurement(Workload.SOAK.value, server.name, server.generator, repeat, figures),)


def _soaked(server: HttpContender, plan: Plan) -> Soaked:
    idle, under = Memory(server.server_pid), Memory(server.server_pid)
    for _ in range(IDLE_SAMPLES):
        idle.sample()
        time.sleep(SAMPLE_SECONDS / IDLE_SAMPLES)
    requests = [texts_of_words(plan.soak_texts, words=WORDS_A_TEXT, seed=seed) for seed in range(CLIENTS)]
    is_over = threading.Event()
    follower = threading.Thread(target=under.follow, args=(is_over,), daemon=True)
    follower.start()
    try:
        load = asyncio.run(
            closed_loop(
                server.target,
                requests,
                clients=CLIENTS,
                seconds=plan.soak_seconds,
                request_seconds=REQUEST_SECONDS,
            )
        )
    finally:
        is_over.set()
        follower.join()
    under.sample()
    return Soaked(load, idle, under)
