"""How tests are shared out between workers, and when there are some."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scripts.test_torch import checkout
from tests.support.sharing_out import TOGETHER, in_order, share_of
from tests.support.shell_scripts import ROOT

TWO = " --numprocesses 2 --dist loadfile --no-loadscope-reorder"
ALONE = ""
ALL = TWO if (os.cpu_count() or 1) > 1 else ALONE
PYTEST = "pytest -q --junit-xml=.run/tests.xml"


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ([], ALL),
        (["--fast"], f"{ALL} -m not network"),
        (["tests/x"], f"{ALONE} tests/x"),
        (["--fast", "tests/x", "-k", "one"], f"{ALONE} -m not network tests/x -k one"),
        (["--", "--co"], f"{ALONE} --co"),
        (["--workers", "1"], ALONE),
        (["--workers", "2", "tests/x"], f"{TWO} tests/x"),
        (["--workers", "3"], TWO.replace("2", "3")),
    ],
)
def test_two_workers_run_everything_and_one_what_is_asked_for(tmp_path: Path, arguments: list[str], asked: str) -> None:
    result = checkout(tmp_path, None).run("run_tests.sh", "--without-torch", *arguments)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "pytest.log").read_text() == f"{PYTEST}{asked}\n"


@pytest.mark.parametrize("count", [[], ["0"], ["many"], ["-k"]])
def test_a_number_that_is_none_is_refused(tmp_path: Path, count: list[str]) -> None:
    result = checkout(tmp_path, None).run("run_tests.sh", "--without-torch", "--workers", *count)
    assert result.returncode == 1
    assert "--workers takes how many" in result.stderr
    assert not (tmp_path / "pytest.log").exists()


@dataclass(frozen=True)
class Item:
    """As much of a test as its place in the order depends on."""

    nodeid: str
    installs: bool = False

    def get_closest_marker(self, name: str) -> bool:
        return self.installs and name == "network"


def test_whole_files_are_shared_out_and_those_of_one_environment_or_server_together() -> None:
    assert share_of("tests/text/test_pool.py::TestIt::test_a[tests/b.py::c]") == "tests/text/test_pool.py"
    assert share_of("tests/clients/test_errors.py::test_a") == share_of("tests/clients/test_answers.py::test_b")
    assert share_of("tests/clients/test_errors.py::test_a") == share_of("tests/integration/test_jina_v4.py::test_b")


SERVERS = re.compile(r"\b(twin|v4)_(triton|gateway_url|gateway_server)\b")


def test_whoever_asks_a_costly_server_is_in_the_one_share_that_makes_it() -> None:
    asking = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if path != Path(__file__) and SERVERS.search(path.read_text())
    ]
    assert len(asking) > 10
    assert [path for path in asking if share_of(path) != "together"] == []
    assert all((ROOT / path).exists() for path in TOGETHER)


def test_what_installs_comes_first_and_no_file_is_torn_apart() -> None:
    plain, first, later = (f"tests/{name}.py::test" for name in ("a", "b", "c"))
    items = [Item(plain), Item(f"{first}_1"), Item(f"{first}_2", installs=True), Item(later), Item(f"{first}_3")]
    assert [item.nodeid for item in in_order(items)] == [f"{first}_1", f"{first}_2", f"{first}_3", plain, later]
