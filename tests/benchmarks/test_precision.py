"""What a precision costs is measured to the end on a few texts, and the command says what it lacks."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import precision
from benchmarks.precision import CORES, NAMES, PRECISIONS
from gateway.errors import ConfigurationError
from tests.conftest import missing_bundled_model, missing_fast, need
from tests.support.code_blocks import ROOT

SMALLEST = ("--texts", "11", "--memory-texts", "1", "--repeats", "1")


def test_every_precision_has_its_quality_speed_and_memory(tmp_path: Path) -> None:
    need(missing_bundled_model())
    need(missing_fast())
    file = tmp_path / "precision.json"
    command = [sys.executable, "-m", "benchmarks.precision", *SMALLEST, "--json", str(file)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads(file.read_text())
    assert (report["texts"], report["repeats"]) == (11, 1)
    assert report["machine"].endswith(f", {CORES} cores")
    assert [row["precision"] for row in report["rows"]] == [NAMES.get(name, name) for name in PRECISIONS]
    exact, fast, *_ = report["rows"]
    assert exact["cosine_min"] == pytest.approx(1, abs=1e-6)
    assert fast["batch_difference"] == 0
    for row in report["rows"]:
        assert f"| {row['precision']} |" in ended.stdout
        assert 0.99 < row["cosine_min"] <= row["cosine_p1"] <= row["cosine_mean"] <= 1 + 1e-6
        assert 0.9 <= row["top10_overlap"] <= 1
        measured = ("throughput_ratio", "texts_per_second", "cpu_ms_per_text", "lone_ms", "memory_mb")
        assert all(math.isfinite(row[name]) and row[name] > 0 for name in measured), row
        assert row["throughput_spread"] == [row["throughput_ratio"]] * 2


def test_without_openvino_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    need(missing_bundled_model())
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(sys, "argv", ["precision"])
    with pytest.raises(ConfigurationError, match="OpenVINO") as refused:
        precision.main()
    assert refused.value.remedy == "scripts/install_fast.sh"
    assert (ROOT / refused.value.remedy).is_file()


def test_more_texts_than_there_are_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need(missing_bundled_model())
    need(missing_fast())
    monkeypatch.setattr(precision, "ROOT", tmp_path)
    monkeypatch.setattr("benchmarks.natural_texts.PACKAGES", ())
    monkeypatch.setattr(sys, "argv", ["precision"])
    with pytest.raises(ConfigurationError, match="only 0 texts of 1000 were found"):
        precision.main()


def test_so_few_texts_that_all_are_near_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["precision", "--texts", "10"])
    with pytest.raises(SystemExit):
        precision.main()
    assert "11 is the least" in capsys.readouterr().err
