"""What a text costs in the gateway alone is printed for every kind of request, with a profile where one is wanted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import text_path
from gateway.errors import ArtifactError
from tests.conftest import missing_bundled_model, need
from tests.support.code_blocks import ROOT

LINES = (
    r"one text, one after the other: ([\d.]+) us CPU a text",
    r"one text, 64 at a time: +([\d.]+) us CPU a text",
    r"2,048 texts, 10 words: ([\d.]+) ms CPU, ([\d.]+) us a text",
    r"2,048 texts, mixed: ([\d.]+) ms CPU, ([\d.]+) us a text",
    r"after 2048 texts: ([\d.]+) us CPU a text, peak memory ([\d.]+) MB",
)


def test_every_kind_of_request_has_a_figure_and_the_profile_names_the_gateways_own_code() -> None:
    need(missing_bundled_model())
    command = [sys.executable, "-m", "benchmarks.text_path", "--repeats", "1", "--texts", "2048", "--profile"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for line, expected in zip(ended.stdout.splitlines()[: len(LINES)], LINES, strict=True):
        found = re.fullmatch(expected, line)
        assert found, line
        assert all(float(figure) > 0 for figure in found.groups())
    assert "function calls" in ended.stdout
    assert "gateway/service/embedding.py" in ended.stdout


def test_without_the_models_files_it_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / text_path.NAME
    (folder / "1").mkdir(parents=True)
    for name in ("card.toml", "config.pbtxt"):
        (folder / name).write_text((text_path.REPOSITORY / text_path.NAME / name).read_text())
    monkeypatch.setattr("benchmarks.command.REPOSITORY", tmp_path)
    monkeypatch.setattr(sys, "argv", ["text_path"])
    with pytest.raises(ArtifactError, match=r"1/model\.onnx") as refused:
        text_path.main()
    assert refused.value.remedy == f"gateway models pull {text_path.NAME}"
