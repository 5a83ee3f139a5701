"""The table of claims says what documents say, leaves out void runs, and names a command that measures each line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.claims import END, HEAD, START, main, placed, table
from gateway.bench.bars import FAST
from gateway.bench.ceiling import NAME as CEILING


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
    readme = Path(__file__).resolve().parents[2] / "benchmarks/README.md"
    assert placed("new", readme.read_text()).count("\nnew\n") == 1
