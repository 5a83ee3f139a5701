"""What RunPod runs: `python handler.py`, with the runpod package's arguments. The same as `gateway runpod`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway.cli import main

PROJECT = Path(__file__).resolve().parent.parent
TEST_FILE = Path("test_input.json")


def arguments() -> list[str]:
    """Those given; beside them the job of `test_input.json`, which the runpod package looks for in this folder."""
    given = sys.argv[1:]
    if {"--test_input", "--rp_serve_api"}.intersection(given) or "RUNPOD_WEBHOOK_GET_JOB" in os.environ:
        return given
    return [*given, "--test_input", TEST_FILE.read_text(encoding="utf-8")] if TEST_FILE.is_file() else given


if __name__ == "__main__":
    words = arguments()
    if not Path("model_repository").is_dir():
        # Started in this folder: what settings name without a leading slash is the project's.
        os.chdir(PROJECT)
    main(["runpod", *words])
