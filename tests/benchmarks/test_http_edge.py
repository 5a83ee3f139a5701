"""The HTTP edge is measured in every scenario, and its command says what it lacks."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import http_edge
from benchmarks.http_edge import SCENARIOS
from gateway.errors import ConfigurationError
from tests.conftest import need
from tests.support.code_blocks import ROOT

SMALLEST = ("--seconds", "1", "--repeats", "1", "--warm-up", "0", "--connections", "8")


def test_every_scenario_is_answered_and_costs_something(tmp_path: Path) -> None:
    need(None if shutil.which("wrk") else "wrk missing; apt install wrk")
    file = tmp_path / "edge.json"
    command = [sys.executable, "-m", "benchmarks.http_edge", *SMALLEST, "--json", str(file)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(file.read_text())
    assert found["load_before"] >= 0
    assert list(found["figures"]) == [f"{scenario}, 8 open" for scenario in SCENARIOS]
    for name, row in found["figures"].items():
        assert name in ended.stdout
        assert set(row) == {"cpu_us", "rps", "p50_us", "p99_us"}
        assert all(math.isfinite(value) and value > 0 for value in row.values()), (name, row)
        assert row["p50_us"] <= row["p99_us"]


def test_without_wrk_it_says_where_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "argv", ["http_edge"])
    with pytest.raises(ConfigurationError, match="wrk, which is not installed") as refused:
        http_edge.main()
    assert "apt install wrk" in (refused.value.remedy or "")
