"""The table of claims says what documents say, leaves out void runs, and names a command that measures each line."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.claims import END, HEAD, START, main, placed, table
from gateway.bench.bars import FAST
from gateway.bench.ceiling import NAME as CEILING

ROOT = Path(__file__).resolve().parents[2]


def document(*bars: dict[str, Any], void: str | None = None) -> dict[str, Any]:
    names = [CEILING, "grpc", "gateway", FAST, "infinity"]
    return {"void": void, "bars": list(bars), "participants": [{"name": name} for name in names]}


def bar(**fields: Any) -> dict[str, Any]:
    usual = {"claim": "bulk", "workload": "bulk", "contender": "gateway / ceiling", "at_least": 0.95, "at_most": None}
    usual |= {"unit": "", "median": 0.97, "lowest": 0.9, "highest": 1.0, "repeats": 5, "holds": True}
    return usual | fields


def lines(*documents: dict[str, Any]) -> list[str]:
    return table(documents).removeprefix(HEAD).strip().splitlines()


def test_a_line_has_claim_bar_measured_verdict_and_command() -> None:
    assert lines(document(bar())) == [
        "| bulk | gateway / ceiling | >= 0.95 | 0.97 [0.90, 1.00] | yes | `gateway bench --workload bulk` |"
    ]


def test_what_was_missed_or_measured_too_seldom_says_so() -> None:
    missed = bar(at_least=None, at_most=0.6, unit="ms", median=0.8, lowest=0.8, highest=0.8, repeats=2, holds=False)
    [line] = lines(document(missed))
    assert "| <= 0.6 ms | 0.80 ms | **no**, 2 repeats |" in line


def test_a_void_run_is_no_evidence() -> None:
    assert lines(document(bar(), void="vectors differ")) == []


def test_the_command_has_the_stack_and_the_server_that_were_compared() -> None:
    fast, other = bar(contender=f"{FAST} / ceiling"), bar(contender="infinity / gateway", workload="single")
    both = bar(contender=f"{FAST} / infinity")
    commands = [line.rsplit("`", 2)[1] for line in lines(document(fast), document(other, both))]
    assert commands == [
        "gateway bench --variant fast=GATEWAY_PRECISION=fast --workload bulk",
        "python -m benchmarks.against_infinity --workload single",
        "python -m benchmarks.against_infinity --variant fast=GATEWAY_PRECISION=fast --workload bulk",
    ]


def test_claims_take_the_place_of_earlier_ones_and_nothing_else_changes() -> None:
    page = f"before\n{START}\nold\n{END}\nafter"
    assert placed("new", page) == f"before\n{START}\nnew\n{END}\nafter"
    assert placed("new", placed("newer", page)) == placed("new", page)


def run_into(page: Path, *documents: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> int:
    files = [page.with_name(f"{number}.json") for number in range(len(documents))]
    for file, content in zip(files, documents, strict=True):
        file.write_text(json.dumps(content))
    monkeypatch.setattr("sys.argv", ["claims", "--into", str(page), *map(str, files), str(page.with_name("absent"))])
    return main()


def test_claims_are_written_into_the_page_and_nothing_measured_leaves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{START}\nearlier\n{END}")
    assert run_into(page, document(bar(), void="vectors differ"), monkeypatch=monkeypatch) == 1
    assert page.read_text() == f"{START}\nearlier\n{END}"
    assert "stays as it is" in capsys.readouterr().err
    assert run_into(page, document(bar()), monkeypatch=monkeypatch) == 0
    assert page.read_text() == f"{START}\n{table([document(bar())])}\n{END}"


@pytest.mark.parametrize("page", ["", START, f"{END} {START}"])
def test_a_page_without_a_place_for_them_is_refused(page: str) -> None:
    with pytest.raises(SystemExit):
        placed("new", page)


def test_the_readme_has_a_place_for_them() -> None:
    assert placed("new", (ROOT / "benchmarks/README.md").read_text()).count("\nnew\n") == 1


def test_whatever_lies_beside_the_documents_is_named_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`DATE-NAME-*.json` finds the report of benchmarks.precision too."""
    contents = {
        "precision": '{"rows": []}',
        "list": "[]",
        "cut-off": '{"void": nu',
        "exact": json.dumps(document(bar())),
    }
    files = [tmp_path / f"{name}.json" for name in (*contents, "absent")]
    for file, content in zip(files, contents.values(), strict=False):
        file.write_text(content)
    monkeypatch.setattr("sys.argv", ["claims", *map(str, files)])
    assert main() == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == table([document(bar())])
    assert [line.partition(" is left out")[0] for line in printed.err.splitlines()] == [
        str(file) for file in files if file.stem != "exact"
    ]


def test_every_result_that_is_kept_is_a_document_or_told_apart() -> None:
    """The whole folder in one command, as the page says: what has claims is in the table, nothing else hinders it."""
    kept = sorted(map(str, (ROOT / "benchmarks/results").glob("*.json")))
    command = [sys.executable, "-m", "benchmarks.claims", *kept]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(HEAD)
    measured = [line.split(" | ")[3] for line in ended.stdout.removeprefix(HEAD).strip().splitlines()]
    assert measured
    assert all(math.isfinite(float(figure.split()[0])) for figure in measured)
    assert "precision" in ended.stderr
