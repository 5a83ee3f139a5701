"""Reads tritonserver's own log: which models it has dealt with so far, and its last words when it failed."""

from __future__ import annotations

import re
from pathlib import Path

LOADED = re.compile(r"successfully loaded '([^']+)'")
FAILED = re.compile(r"failed to load '([^']+)'")
ENVIRONMENT = re.compile(r"onnxruntime backend: \S+: (.+?)\"?$", re.MULTILINE)
# What gateway.python_backend says on its stub's standard error.
PROGRAM = re.compile(r"gateway\.python_backend: (\S+ loaded in .+?)\.?$", re.MULTILINE)
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
    """What was said from inside the stubs: where each model of the Python backend computes, and in what, or else
    versions of Python, numpy and onnxruntime. None: nothing of ours ran.
    """
    return "; ".join(PROGRAM.findall(text)) or next(reversed(ENVIRONMENT.findall(text)), None)


def last_words(text: str) -> str:
    """The end of the log without its tables, for a person."""
    lines = [line for line in text.splitlines() if line.strip() and line[0] not in "+|"]
    return "\n".join(lines[-TAIL_LINES:])
