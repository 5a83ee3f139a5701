"""What this machine would compute fast with. Light, beside `fast_proof`: it is asked where nothing is computed."""

from __future__ import annotations

import contextlib
import importlib.metadata
from pathlib import Path

PACKAGE = "openvino"
CPU_FACTS = Path("/proc/cpuinfo")


def this_machine() -> str:
    """Processor and version of the package, as far as they decide what comes out."""
    with contextlib.suppress(OSError):
        for line in CPU_FACTS.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {PACKAGE} {_version()}"
    return f"unknown processor, {PACKAGE} {_version()}"


def _version() -> str:
    try:
        return importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
