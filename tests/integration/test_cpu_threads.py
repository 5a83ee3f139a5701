"""The curve of threads and batch sizes as its command measures it, on a few texts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import missing_bundled_model, need
from tests.support.code_blocks import ROOT

pytestmark = pytest.mark.triton


def test_every_way_to_share_out_the_cores_is_set_against_the_ceiling(tmp_path: Path) -> None:
    need(missing_bundled_model())
    file = tmp_path / "curve.json"
    command = [sys.executable, "-m", "benchmarks.cpu_threads", "--texts", "3", "--repeats", "1", "--json", str(file)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    record = json.loads(file.read_text())
    cores = len(os.sched_getaffinity(0))
    ceiling, *others = record["curve"]
    assert (ceiling["name"], ceiling["ratio"], ceiling["cpu_ratio"]) == (f"1 x {cores} spinning", 1.0, 1.0)
    ways = {(one["side_by_side"], one["threads"]) for one in others}
    assert {(cores, 1), (1, cores), (1, 1)} <= ways
    assert len(others) == len(ways) * 5
    assert all(0 < one["ratio_range"][0] <= one["ratio"] <= one["ratio_range"][1] for one in record["curve"])
    assert {one["name"] for one in record["lone"]} >= {"1 x 1", f"1 x {cores} spinning"}
    assert all(0 < one["fastest_ms"] <= one["median_ms"] for one in record["lone"])
