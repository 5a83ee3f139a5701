"""The benchmarks' commands as their page prints them, and what they find when processes die under load."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import missing_bundled_model, need
from tests.support.code_blocks import ROOT, blocks_of

SHORT = ("--quick", "--repeats", "1", "--seconds", "0.2", "--workload", "single", "--workload", "bulk")
RESULT_NAMES = {"my-machine.json": SHORT, "my-machine-recovery.json": ("--seconds", "0.5")}

pytestmark = [pytest.mark.triton, pytest.mark.usefixtures("tritonserver")]


def printed_command(result_name: str) -> list[str]:
    [block] = [block for block in blocks_of(ROOT / "benchmarks/README.md") if f"/{result_name}" in block.code]
    assert block.mark == "run: benchmark"
    return shlex.split(block.code)


def run(result_name: str, folder: Path) -> dict[str, Any]:
    """The command's JSON, written into `folder` instead."""
    need(missing_bundled_model())
    program, *arguments, _ = printed_command(result_name)
    assert program == ".venv/bin/python"
    command = [sys.executable, *arguments, str(folder / result_name), *RESULT_NAMES[result_name]]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    record: dict[str, Any] = json.loads((folder / result_name).read_text())
    return record


def test_the_gateway_is_measured_against_the_same_vectors(tmp_path: Path) -> None:
    record = run("my-machine.json", tmp_path)
    assert record["void"] is None
    assert {one["contender"]: one["holds"] for one in record["parity"]["results"]} == {"grpc": True, "gateway": True}
    compared = {(one["workload"], one["contender"], one["reference"]): one for one in record["comparisons"]}
    assert compared["bulk", "gateway", "ceiling"]["median"] > 0
    of_singles = {one["contender"] for one in record["figures"] if one["workload"] == "single"}
    assert of_singles >= {"grpc", "gateway"}


def test_whatever_dies_nobody_gets_a_wrong_answer_and_service_comes_back(tmp_path: Path) -> None:
    record = run("my-machine-recovery.json", tmp_path)
    assert [one["killed"] for one in record["recoveries"]] == ["tritonserver", "triton_python_backend_stub"]
    for one in record["recoveries"]:
        assert set(one["statuses"]) <= {"200", "503"}, one
        assert one["statuses"]["200"] > 0
        assert one["wrong"] == 0
        assert one["first_answer"] < float("inf")
    assert set(record["hang_ups"]["statuses"]) == {"200"}
    assert record["hang_ups"]["wrong"] == record["hang_ups"]["rows_left"] == 0
