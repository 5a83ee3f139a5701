"""Reads tritonserver's own log: which models it has dealt with so far, and its last words when it failed."""

from __future__ import annotations

import re
from pathlib import Path

LOADED = re.compile(r"successfully loaded '([^']+)'")
FAILED = re.compile(r"failed to load '([^']+)'")
ENVIRONMENT = re.compile(r"onnxruntime backend: \S+: (.+?)\"?$", re.MULTILINE)
TAIL_LINES = 15


def read(log: Path) -> str:
    try:
        return log.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def settled_models(text: str) -> frozenset[str]:
    """Models whose loading is over, well or badly."""
    return frozenset(LOADED.findall(text)) | frozenset(FAILED.findall(text))


def stub_environment(text: str) -> str | None:
    """What our backend said from inside the stub: versions of Python, numpy and onnxruntime. None: it never ran."""
    found = ENVIRONMENT.findall(text)
    return found[-1] if found else None


def last_words(text: str) -> str:
    """The end of the log without its tables, for a person."""
    lines = [line for line in text.splitlines() if line.strip() and line[0] not in "+|"]
    return "\n".join(lines[-TAIL_LINES:])
