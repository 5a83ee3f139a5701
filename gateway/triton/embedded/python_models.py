"""What a start of tritonserver depends on where it serves models of the Python backend: a GPU that is to be seen, room
in shared memory, patience with a large model, and as many threads as there are cores.
"""

from __future__ import annotations

import importlib.util
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path

# A model of 7.5 GB from a slow disk takes minutes. Triton's own 30 s end its loading in the midst.
LOAD_SECONDS = 1500

# A call's tensors lie in the stub's pool, which grows and never shrinks. Ten images of 768 tokens have 18 MB, the
# vectors of 32768 tokens 17 MB. Triton's own beginning and step are 1 MiB each.
POOL_BYTES = 32 * 1024 * 1024
POOL_GROWTH_BYTES = 16 * 1024 * 1024

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class PythonModelSettings:
    """What these models are told, and all that they are told, of the gateway's settings; None leaves it to them."""

    dtype: str | None = None
    gpu_memory_utilization: float | None = None

    def environment(self) -> dict[str, str]:
        given = {
            "GATEWAY_DTYPE": self.dtype,
            "GATEWAY_GPU_MEMORY_UTILIZATION": self.gpu_memory_utilization,
        }
        return {name: str(value) for name, value in given.items() if value is not None}


def backend_options() -> tuple[str, ...]:
    """For tritonserver's command line."""
    return tuple(
        f"--backend-config=python,{name}={value}"
        for name, value in (
            ("stub-timeout-seconds", LOAD_SECONDS),
            ("shm-default-byte-size", POOL_BYTES),
            ("shm-growth-byte-size", POOL_GROWTH_BYTES),
        )
    )


def stub_environment(settings: PythonModelSettings) -> dict[str, str]:
    """Threads that wait sleep, because gateway, server and stubs share the cores; and nothing is asked of a hub."""
    return {
        **settings.environment(),
        "OMP_NUM_THREADS": str(usable_cores()),
        "OMP_WAIT_POLICY": "PASSIVE",
        "HF_HUB_OFFLINE": "1",
    }


def usable_cores() -> int:
    """Cores that this process may use, a container's share of time counted; at least 1."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = CPU_QUOTA.read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, math.ceil(int(quota) / int(period))))


def torch_computes_on_gpus() -> bool:
    """Whether the installed torch is a build with CUDA. Reads one small file; torch itself takes seconds to import."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    return re.search(r"^cuda\b[^=]*=\s*['\"]", text, re.MULTILINE) is not None
