"""The README's first command, from a fresh clone of what is committed: install, serve, answer, start again, stop.

The wheels come from pip's cache where this machine has installed them before.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import need

ROOT = Path(__file__).resolve().parents[2]
EMBEDDING = re.compile(r'"Hello, world" is 384 dimensions by all-MiniLM-L6-v2: \[-?0\.\d{4}, ')

pytestmark = [pytest.mark.network, pytest.mark.triton, pytest.mark.timeout(900)]


def call(clone: Path, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    """One script of the clone, with nothing of the calling environment's own Python in it.

    What is imported is compiled then; "0" is how pip's environment says `--no-compile`.
    """
    return subprocess.run(
        [clone / "scripts" / script, *options],
        cwd=clone,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "VIRTUAL_ENV"))}
    return {**kept, "PYTHONWARNINGS": "default", "PIP_NO_COMPILE": "0"}


def leftovers(clone: Path) -> set[str]:
    script = ". scripts/lib/leftovers.sh; list_leftovers"
    result = subprocess.run(["bash", "-c", script], cwd=clone, capture_output=True, text=True, timeout=20, check=True)
    return set(result.stdout.splitlines())


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    need(None if (ROOT / ".git").exists() else "not a git checkout, so there is nothing to clone")
    folder = tmp_path_factory.mktemp("fresh") / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, folder], check=True, timeout=60)
    yield folder
    call(folder, "stop.sh")


@pytest.fixture(scope="module")
def first_run(clone: Path) -> subprocess.CompletedProcess[str]:
    return call(clone, "quick_start.sh", "--detach", "--auto-ports")


def test_it_ends_in_a_printed_embedding(first_run: subprocess.CompletedProcess[str]) -> None:
    assert first_run.returncode == 0, first_run.stdout + first_run.stderr
    assert EMBEDDING.search(first_run.stdout)
    assert "to download" in first_run.stdout
    assert "scripts/stop.sh" in first_run.stdout


def test_the_printed_curl_line_repeats_it(first_run: subprocess.CompletedProcess[str]) -> None:
    printed = first_run.stdout.partition("Again:\n")[2].partition("\nProcess:")[0]
    command = [*shlex.split(printed.replace("\\\n", " ")), "-sS", "--fail"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert len(json.loads(result.stdout)["data"][0]["embedding"]) == 384


def test_called_again_while_it_runs_it_says_so(clone: Path, first_run: subprocess.CompletedProcess[str]) -> None:
    again = call(clone, "quick_start.sh", "--detach")
    assert again.returncode == 0, again.stderr
    assert "running already" in again.stdout
    assert EMBEDDING.search(again.stdout)


def test_restart_brings_back_another_process_without_installing(
    clone: Path, first_run: subprocess.CompletedProcess[str]
) -> None:
    before = json.loads((clone / ".run/up.json").read_text())["pid"]
    result = call(clone, "restart.sh", "--auto-ports")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Stopped." in result.stdout
    assert EMBEDDING.search(result.stdout)
    assert "to download" not in result.stdout
    assert json.loads((clone / ".run/up.json").read_text())["pid"] != before


def test_torchs_size_is_said_before_it_is_fetched_and_nothing_needs_it(
    clone: Path, first_run: subprocess.CompletedProcess[str]
) -> None:
    result = call(clone, "install_torch.sh")
    assert result.returncode == 1
    assert re.search(
        r"pip would take torch 2\.13\.0\S*, a build for .*: about (250 MB|4 GB) to download", result.stdout
    )
    assert "--yes" in result.stderr
    packages = next((clone / ".venv/lib").glob("python3.*/site-packages"))
    assert not (packages / "torch").exists()
    assert call(clone, "install_torch.sh", "--check").returncode == 1


def test_stop_leaves_nothing_behind(clone: Path, first_run: subprocess.CompletedProcess[str]) -> None:
    running = leftovers(clone)
    assert any("tritonserver" in line for line in running)
    result = call(clone, "stop.sh")
    assert (result.returncode, result.stdout) == (0, "Stopped.\n")
    assert leftovers(clone) == set()
    assert call(clone, "stop.sh").stdout == "Nothing is running.\n"


@pytest.fixture
def foreground(clone: Path, first_run: subprocess.CompletedProcess[str]) -> Iterator[subprocess.Popen[str]]:
    """quick_start.sh as in a terminal: a session of its own, its output read as it comes."""
    process = subprocess.Popen(
        [clone / "scripts/quick_start.sh", "--auto-ports"],
        cwd=clone,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    yield process
    if process.poll() is None:
        process.terminate()
        process.wait(60)
    assert process.stdout is not None
    process.stdout.close()


def test_in_the_foreground_ctrl_c_stops_it_cleanly(clone: Path, foreground: subprocess.Popen[str]) -> None:
    assert foreground.stdout is not None
    printed = ""
    while not (EMBEDDING.search(printed) and "Ctrl-C stops everything" in printed):
        line = foreground.stdout.readline()
        assert line, printed
        printed += line
    assert "\n  curl http://127.0.0.1:" in printed
    os.killpg(foreground.pid, signal.SIGINT)  # what a terminal does
    assert foreground.wait(60) == 0
    assert leftovers(clone) == set()
