"""torch comes only after its size was said, in the build that was announced, and once."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.shell_scripts import ROOT, bash

CPU = {"torch": "2.13.0+cpu", "sympy": "1.14.0"}
CUDA = {"torch": "2.13.0", "nvidia-cublas-cu12": "12.8", "sympy": "1.14.0"}
ENOUGH, TOO_LITTLE = "50000", "100"


@dataclass(frozen=True)
class Checkout:
    """The real scripts beside a pip that writes down what it was asked; `torch` is there once pip was asked for it."""

    folder: Path

    @property
    def installations(self) -> list[str]:
        """What pip was asked to install for good."""
        log = self.folder / "pip.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if line.startswith("install") and "--dry-run" not in line]

    def run(
        self, script: str, *arguments: str, answer: str | None = None, free: str = ENOUGH
    ) -> subprocess.CompletedProcess[str]:
        """`answer`: what a person types on a terminal; without one nobody can be asked."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "TORCH_"))}
        command = [self.folder / "scripts" / script, *arguments]
        ours, theirs = pty.openpty()
        try:
            os.write(ours, f"{answer}\n".encode())
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL if answer is None else theirs,
                env={**environment, "FREE_MIB": free},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        finally:
            os.close(ours)
            os.close(theirs)


def checkout(folder: Path, offer: dict[str, str] | None, *, pip_version: str = "26.1") -> Checkout:
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    requirements = folder / "scripts/lib/requirements.sh"
    requirements.write_text(
        requirements.read_text()
        + "check_requirements() { PYTHON_FOUND=.venv/bin/python; }\nfree_mebibytes() { echo $FREE_MIB; }\n"
    )
    (folder / "pyproject.toml").write_text("[project]\n")
    binaries = folder / ".venv/bin"
    binaries.mkdir(parents=True)
    rows = [{"metadata": {"name": name, "version": version}} for name, version in (offer or {}).items()]
    (folder / "report.json").write_text(json.dumps({"install": rows}))
    program(binaries / "pip", PIP.format(folder=folder, version=pip_version, code=1 if offer is None else 0))
    program(binaries / "python", PYTHON.format(folder=folder, python=sys.executable))
    for name in ("gateway", "ruff", "mypy", "lint-imports"):
        program(binaries / name, "true")
    program(binaries / "pytest", f"echo pytest $* >> {folder}/pytest.log")
    extras = "embedded fast dev runpod"
    bash(folder, f"for extra in {extras}; do fingerprint .venv/bin/python > .venv/.installed-$extra; done")
    return Checkout(folder)


PIP = """
echo "$*" >> {folder}/pip.log
case "$*" in
  --version) echo "pip {version} from somewhere (python 3.11)" ;;
  *pip\\>=*) ;;
  *--dry-run*) cat {folder}/report.json; exit {code} ;;
  *torch*) touch {folder}/has-torch ;;
esac
"""

# torch_build.py, which reads the environment, is run by the real one; where pip installed torch, so did that one.
PYTHON = """
case "$*" in
  *torch_build.py\\ installed) if test -e {folder}/has-torch; then echo "2.13.0+cpu cpu"; fi ;;
  *torch_build.py*|-c*) exec {python} "$@" ;;
esac
"""


def program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def build_of(packages: dict[str, str]) -> str:
    rows = [{"metadata": {"name": name, "version": version}} for name, version in packages.items()]
    return torch_build("offered", json.dumps({"install": rows}))


def torch_build(question: str, given: str = "") -> str:
    command = [sys.executable, "-I", ROOT / "scripts/lib/torch_build.py", question]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        (CPU, "2.13.0+cpu cpu"),
        (CUDA, "2.13.0 cuda"),
        ({"torch": "2.13.0+cu130"}, "2.13.0+cu130 cuda"),
        ({"Torch": "2.13.0", "triton": "3.5"}, "2.13.0 cuda"),
        ({"torch": "2.13.0", "cuda-bindings": "13"}, "2.13.0 cuda"),
        ({"torch": "2.13.0", "tritonclient": "2.5"}, "2.13.0 cpu"),
        ({"sympy": "1"}, ""),
        ({}, ""),
    ],
)
def test_a_build_is_told_by_its_version_or_by_what_it_brings(packages: dict[str, str], expected: str) -> None:
    assert build_of(packages) == expected


def test_what_is_installed_here_is_told() -> None:
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        assert torch_build("installed") == ""
        return
    assert torch_build("installed").startswith(f"{version} ")


@pytest.mark.parametrize(("offer", "size", "kind"), [(CPU, "250 MB", "for CPU"), (CUDA, "4 GB", "with CUDA")])
def test_its_size_is_said_and_nothing_installed_where_nobody_can_be_asked(
    tmp_path: Path, offer: dict[str, str], size: str, kind: str
) -> None:
    made = checkout(tmp_path, offer)
    result = made.run("install_torch.sh")
    assert result.returncode == 1
    assert size in result.stdout
    assert kind in result.stdout
    assert f"{ENOUGH} MiB are free" in result.stdout
    assert "--yes" in result.stderr
    assert made.installations == []


@pytest.mark.parametrize("answer", ["", "n", "no", "what?"])
def test_only_a_yes_is_a_yes(tmp_path: Path, answer: str) -> None:
    made = checkout(tmp_path, CPU)
    result = made.run("install_torch.sh", answer=answer)
    assert (result.returncode, made.installations) == (1, [])
    assert "Nothing was installed" in result.stderr


@pytest.mark.parametrize(("arguments", "answer"), [((), "y"), ((), "YES"), (("--yes",), None)])
def test_the_announced_build_is_installed_with_a_numpy_that_triton_reads(
    tmp_path: Path, arguments: Sequence[str], answer: str | None
) -> None:
    made = checkout(tmp_path, CPU)
    result = made.run("install_torch.sh", *arguments, answer=answer)
    assert result.returncode == 0, result.stderr
    (asked,) = made.installations
    assert asked.endswith("--editable .[embedded,torch] torch==2.13.0"), "numpy<2 is the extra embedded's"
    assert result.stdout.endswith("torch 2.13.0+cpu is installed, a build for CPU.\n")
    assert made.run("install_torch.sh", "--check").returncode == 0
    again = made.run("install_torch.sh")
    assert again.returncode == 0
    assert made.installations == [asked]


def test_the_check_installs_nothing(tmp_path: Path) -> None:
    made = checkout(tmp_path, CPU)
    result = made.run("install_torch.sh", "--check")
    assert result.returncode == 1
    assert "scripts/install_torch.sh" in result.stdout
    assert not (tmp_path / "pip.log").exists()


def test_a_torch_that_is_there_is_kept_whatever_pip_would_take(tmp_path: Path) -> None:
    made = checkout(tmp_path, CUDA)
    (tmp_path / "has-torch").touch()
    result = made.run("install_torch.sh")
    assert result.returncode == 0, result.stderr
    (asked,) = made.installations
    assert asked.endswith("--editable .[embedded,torch]"), "no version is named, so pip keeps the one there is"


def test_a_full_disk_is_told_before(tmp_path: Path) -> None:
    made = checkout(tmp_path, CUDA)
    result = made.run("install_torch.sh", "--yes", free=TOO_LITTLE)
    assert (result.returncode, made.installations) == (1, [])
    assert f"14000 MiB of free disk here while it is installed; there are {TOO_LITTLE}" in result.stderr


def test_a_version_that_nobody_has_is_told(tmp_path: Path) -> None:
    made = checkout(tmp_path, None)
    result = made.run("install_torch.sh", "--yes")
    assert (result.returncode, made.installations) == (1, [])
    assert "pip finds no torch==2.13.0" in result.stderr


@pytest.mark.parametrize(("version", "first"), [("23.2.1", ["pip>=25.3"]), ("25.3", []), ("26.1", [])])
def test_a_pip_that_would_fetch_all_to_look_at_it_is_not_asked(tmp_path: Path, version: str, first: list[str]) -> None:
    made = checkout(tmp_path, CPU, pip_version=version)
    made.run("install_torch.sh")
    assert [line.split()[-1] for line in made.installations] == first


def test_quick_start_brings_no_torch() -> None:
    assert "torch" not in (ROOT / "scripts/quick_start.sh").read_text()


ALL = "--editable .[embedded,fast,dev,runpod,torch] torch==2.13.0"


@pytest.mark.parametrize(
    ("offer", "arguments", "asked", "said"),
    [
        (CPU, [], [ALL], "Also torch 2.13.0+cpu, about 250 MB"),
        (CPU, ["--require-all"], [ALL], "about 250 MB"),
        (CPU, ["--without-torch"], [], "Without torch, as asked"),
        (CUDA, [], [], "about 4 GB to download; --with-torch does. It is left out"),
        (CUDA, ["--with-torch"], [ALL], "about 4 GB"),
        (CUDA, ["--require-all", "--with-torch"], [ALL], "about 4 GB"),
        (None, [], [], "pip finds no torch==2.13.0. It is left out"),
    ],
)
def test_the_tests_bring_torch_where_it_is_small_or_asked_for(
    tmp_path: Path, offer: dict[str, str] | None, arguments: list[str], asked: list[str], said: str
) -> None:
    made = checkout(tmp_path, offer)
    result = made.run("run_tests.sh", *arguments, "tests/x")
    assert result.returncode == 0, result.stdout + result.stderr
    assert said in result.stdout
    assert [line.partition("check ")[2] for line in made.installations] == asked
    assert (tmp_path / "pytest.log").read_text().endswith(" tests/x\n"), "none of these options is pytest's"
    made.run("run_tests.sh", *arguments)
    assert len(made.installations) == len(asked), "once is enough"


@pytest.mark.parametrize(
    ("offer", "arguments"),
    [
        (CUDA, ["--require-all"]),
        (None, ["--require-all"]),
        (None, ["--with-torch"]),
        (CPU, ["--require-all", "--without-torch"]),
    ],
)
def test_every_test_is_not_run_without_torch(
    tmp_path: Path, offer: dict[str, str] | None, arguments: list[str]
) -> None:
    made = checkout(tmp_path, offer)
    result = made.run("run_tests.sh", *arguments)
    assert (result.returncode, made.installations) == (1, [])
    assert "torch" in result.stderr
    assert not (tmp_path / "pytest.log").exists()


def test_ci_takes_torch_whatever_it_costs() -> None:
    assert "--require-all --with-torch" in (ROOT / ".ci/run").read_text()
