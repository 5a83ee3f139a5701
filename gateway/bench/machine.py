"""The machine that a figure belongs to: what it is, what runs on it, and whether anything else kept it busy."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

PACKAGES = ("onnxruntime", "numpy", "tokenizers", "fastapi", "uvicorn", "grpcio", "nvidia-pytriton")
LOOK_SECONDS = 1.0

# Shares of all cores together.
QUIET_BUSY_SHARE = 0.05
QUIET_OTHERS_SHARE = 0.05
QUIET_STEAL_SHARE = 0.01
QUIET_LOAD_A_CORE = 0.15


@dataclass(frozen=True, slots=True)
class Before:
    """Looked at before anything was started: load averages over 1, 5 and 15 minutes, and how much of all cores was busy
    for a second."""

    load: tuple[float, float, float]
    busy_share: float


@dataclass(frozen=True, slots=True)
class During:
    """Shares of all cores together while the measurements ran: what processes that were not measured used, and what
    the hypervisor gave to others."""

    others_share: float
    steal_share: float


@dataclass(frozen=True, slots=True)
class CoreTimes:
    """Readings of the system's clocks of all cores, in seconds."""

    at: float
    busy: float
    steal: float


def hardware() -> dict[str, str]:
    """What a figure needs beside it to mean anything."""
    return {
        "cpu": cpu_name(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def versions() -> dict[str, str]:
    """Of what takes part; packages that are not installed are left out."""

    def found() -> Iterator[tuple[str, str]]:
        for name in ("triton-embeddings-gateway", *PACKAGES):
            try:
                yield name, version(name)
            except PackageNotFoundError:
                continue

    return dict(found())


def look_before(seconds: float = LOOK_SECONDS) -> Before:
    """Takes `seconds`."""
    first = core_times()
    time.sleep(seconds)
    last = core_times()
    return Before(os.getloadavg(), _share(last.busy - first.busy, last.at - first.at))


def core_times() -> CoreTimes:
    times = psutil.cpu_times()
    steal = float(getattr(times, "steal", 0.0))
    idle = float(times.idle) + float(getattr(times, "iowait", 0.0))
    # Guests are counted in user time as well.
    total = sum(times) - float(getattr(times, "guest", 0.0)) - float(getattr(times, "guest_nice", 0.0))
    return CoreTimes(time.perf_counter(), total - idle - steal, steal)


def during(first: CoreTimes, last: CoreTimes, *, own_seconds: float) -> During:
    """`own_seconds` is the processor time of all that was measured, this process included."""
    seconds = last.at - first.at
    others = max(0.0, last.busy - first.busy - own_seconds)
    return During(_share(others, seconds), _share(last.steal - first.steal, seconds))


def _share(core_seconds: float, seconds: float) -> float:
    """At least 0: differences of rounded clocks may come out a little below."""
    return max(core_seconds, 0.0) / (seconds * (os.cpu_count() or 1)) if seconds > 0 else 0.0


def warnings_before(before: Before) -> list[str]:
    """Sentences for a machine that is not quiet; none for one that is."""
    found = []
    cores = os.cpu_count() or 1
    if before.load[0] > QUIET_LOAD_A_CORE * cores:
        found.append(f"The load before the start was {before.load[0]:.2f} on {cores} cores; others may still be busy.")
    if before.busy_share > QUIET_BUSY_SHARE:
        found.append(f"Before anything was started, {before.busy_share:.0%} of the cores were busy.")
    return found


def warnings_during(seen: During) -> list[str]:
    found = []
    if seen.others_share > QUIET_OTHERS_SHARE:
        found.append(
            f"Processes that were not measured used {seen.others_share:.0%} of the cores during the run. The ceiling "
            "suffers most from that, as its threads wait for one another, so ratios to it look better than they are."
        )
    if seen.steal_share > QUIET_STEAL_SHARE:
        found.append(f"The hypervisor gave {seen.steal_share:.0%} of the cores to other machines during the run.")
    return found


def gateway_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that change how a gateway computes and batches; those with keys, addresses and folders left out."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith("GATEWAY_") and not any(word in name for word in _OWN_WORDS)
    }


_OWN_WORDS = ("KEY", "SECRET", "HF_", "PORT", "HOST", "URL", "FOLDER", "REPOSITORY", "MODELS", "LOG_")
