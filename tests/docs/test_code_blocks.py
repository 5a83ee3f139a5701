"""Every command and every piece of code in README and docs works as printed.

Marks, as an HTML comment right above a block:
`run: stack` (against a running gateway), `run: twins` (against one that serves the tiny twins of the shipped models),
`run: v4` (against one that serves the twin of jina-embeddings-v4),
`run: hub` (in a repository of the shipped cards, against a hub on loopback that has the twins), `run: checkout` (in
this folder), `run: fresh` (by tests/scripts, in a fresh clone; checked here for existing scripts and options), `run:
benchmark` (by tests/integration, shortened), `run: runpod` (against `gateway runpod --rp_serve_api`), `run: client`
and `checked: ...` (by test_client_pages), `output of the block above`, `not run: needs docker`, `not run: needs runpod`
(its options and files exist).
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from gateway.cli.commands import GATEWAY
from gateway.triton.embedded.ports import pick_free
from tests.conftest import BUNDLED_MODEL, REPOSITORY, missing_bundled_model, need
from tests.support import runpod_worker
from tests.support.code_blocks import (
    CLIENT_MARKS,
    OUTPUT_MARK,
    PAGES,
    ROOT,
    RUNNABLE,
    Block,
    all_blocks,
    expected_output,
)
from tests.support.local_hub import local_hub
from tests.support.twin_repository import publish_twins, twin_repository
from tests.support.twins import generic

BINARIES = Path(sys.executable).parent
DOCUMENTED = "http://localhost:8000"
MARKS = {
    "run: stack", "run: twins", "run: v4", "run: hub", "run: checkout", "run: fresh", "run: benchmark",
    "run: runpod", "not run: needs docker", "not run: needs runpod", OUTPUT_MARK, *CLIENT_MARKS,
}  # fmt: skip
# Sizes that the full models have and their twins do not, and one that both have.
DOCUMENTED_SIZE, TWIN_SIZE = re.compile('"dimensions": (128|256)'), '"dimensions": 16'
ADDED_REPOSITORY = "sentence-transformers/paraphrase-MiniLM-L3-v2"
BLOCKS = all_blocks()


def marked(mark: str) -> list[Block]:
    return [block for block in BLOCKS if block.mark == mark]


def run(block: Block, *, url: str = DOCUMENTED) -> str:
    """The block's standard output. Fails the test when a line of it fails."""
    code = block.code.replace(DOCUMENTED, url).replace("localhost:8000", urlsplit(url).netloc)
    command = [sys.executable, "-c", code] if block.language == "python" else ["bash", "-euo", "pipefail", "-c", code]
    environment = {**os.environ, "PATH": f"{BINARIES}:{os.environ['PATH']}", "NO_PROXY": "*"}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, f"{block}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def for_twins(block: Block) -> Block:
    return dataclasses.replace(block, code=DOCUMENTED_SIZE.sub(TWIN_SIZE, block.code))


def test_there_is_something_to_test() -> None:
    assert {block.mark for block in BLOCKS} - {""} == MARKS
    assert all(page.exists() for page in PAGES)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_that_can_run_says_how_it_is_tested(block: Block) -> None:
    assert block.mark in MARKS or (not block.mark and block.language not in RUNNABLE), block.mark
    if block.mark == "not run: needs docker":
        assert all(line.startswith("docker compose ") for line in block.code.splitlines())


@pytest.mark.triton
@pytest.mark.parametrize("block", marked("run: stack"), ids=str)
def test_works_against_a_running_gateway(block: Block, gateway_url: str) -> None:
    printed = run(block, url=gateway_url)
    expected = expected_output(block)
    if expected is not None:
        assert printed == expected
    if "curl" in block.code:
        assert '"error"' not in printed


@pytest.mark.triton
@pytest.mark.parametrize("block", marked("run: twins"), ids=str)
def test_works_against_the_other_models(block: Block, twin_gateway_url: str) -> None:
    printed = run(for_twins(block), url=twin_gateway_url)
    if "curl" in block.code:
        assert '"error"' not in printed


@pytest.mark.triton
@pytest.mark.parametrize("block", marked("run: v4"), ids=str)
def test_works_against_the_model_that_reads_images(block: Block, v4_gateway_url: str) -> None:
    printed = run(for_twins(block), url=v4_gateway_url)
    if "curl" in block.code:
        assert '"error"' not in printed


@pytest.fixture(scope="module")
def hub_of_twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The settings under which commands meet the shipped cards, their twins' files and nothing outside."""
    folder = tmp_path_factory.mktemp("hub-of-twins")
    with local_hub() as hub:
        publish_twins(hub)
        hub.publish(ADDED_REPOSITORY, dict(generic.mean().files))
        yield {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(folder / "home"),
            "GATEWAY_MODEL_REPOSITORY": str(twin_repository(folder / "models")),
            "GATEWAY_RUN_FOLDER": str(folder / "run"),
        }


@pytest.mark.parametrize("block", marked("run: hub"), ids=str)
def test_works_with_a_hub(block: Block, hub_of_twins: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in hub_of_twins.items():
        monkeypatch.setenv(name, value)
    run(block)


@pytest.mark.parametrize("block", marked("run: checkout"), ids=str)
def test_works_in_this_checkout(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    need(missing_bundled_model())
    # A stack that runs here on the usual ports is no fault of the page.
    names = ("GATEWAY_PORT", "GATEWAY_TRITON_GRPC_PORT", "GATEWAY_TRITON_HTTP_PORT", "GATEWAY_TRITON_METRICS_PORT")
    for name, port in zip(names, pick_free(len(names)), strict=True):
        monkeypatch.setenv(name, str(port))
    run(block)


@pytest.fixture(scope="module")
def runpod_url(tritonserver: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of the runpod package's local server, before a worker with the bundled model."""
    need(missing_bundled_model())
    (port,) = pick_free(1)
    options = ("--rp_serve_api", "--rp_api_port", str(port))
    values = {"MODEL_NAME": BUNDLED_MODEL, "GATEWAY_MODEL_REPOSITORY": str(REPOSITORY)}
    with runpod_worker.started(tmp_path_factory.mktemp("runpod"), *options, **values) as worker:
        worker.wait_for("Uvicorn running on")
        yield f"http://localhost:{port}"


@pytest.mark.triton
@pytest.mark.parametrize("block", marked("run: runpod"), ids=str)
def test_works_against_a_runpod_worker(block: Block, runpod_url: str) -> None:
    assert "FAILED" not in run(block, url=runpod_url)


@pytest.mark.parametrize("block", marked("not run: needs runpod"), ids=str)
def test_names_targets_options_and_fields_that_exist(block: Block) -> None:
    dockerfile = (ROOT / "Dockerfile.gateway").read_text()
    runpod = next(command.load() for command in GATEWAY.commands if command.name == "runpod")
    parameters = {parameter.opts[0] for parameter in runpod.params}
    for words in words_of(block):
        pairs = dict(itertools.pairwise(words))
        if words[:2] == ["docker", "build"]:
            assert (ROOT / pairs["-f"]).is_file()
            assert f" AS {pairs['--target']}\n" in dockerfile
            assert f"ARG {pairs['--build-arg'].partition('=')[0]}=" in dockerfile
        elif "gateway" in words:
            assert {word for word in words if word.startswith("--")} <= parameters
        elif words[0] == "curl":
            assert isinstance(json.loads(pairs["-d"])["input"]["input"], list)
        else:
            assert words[:2] == ["docker", "push"]


def words_of(block: Block) -> list[list[str]]:
    return [shlex.split(line, comments=True) for line in block.code.splitlines() if line.strip()]


@pytest.mark.parametrize("block", marked("run: fresh"), ids=str)
def test_names_scripts_and_options_that_exist(block: Block) -> None:
    for script, *options in words_of(block):
        help_text = subprocess.run(
            [ROOT / script, "--help"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
        for option in options:
            assert option in help_text, f"{script} {option}"


@pytest.mark.parametrize("block", marked("not run: needs docker"), ids=str)
def test_names_files_profiles_and_services_that_exist(block: Block) -> None:
    for docker, compose, *words in words_of(block):
        assert (docker, compose) == ("docker", "compose")
        files = [ROOT / value for flag, value in itertools.pairwise(words) if flag == "-f"]
        services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        profiles = {name for service in services.values() for name in service.get("profiles", [])}
        assert all(path.is_file() for path in files)
        assert {value for flag, value in itertools.pairwise(words) if flag == "--profile"} <= profiles
        verb = next(word for word in words if word in ("up", "down", "logs", "run", "build"))
        named = [word for word in words[words.index(verb) + 1 :] if not word.startswith("-")]
        assert set(named[:1]) <= set(services)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_and_headings_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        assert path.exists(), target
        if anchor:
            assert anchor in headings(path), target


def headings(page: Path) -> set[str]:
    found = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_settings_and_metrics_named_in_text_exist(page: Path) -> None:
    text = page.read_text()
    # `NAME` and `1/...` stand for any model; files that only exist while something runs begin with .run/.
    paths = set(re.findall(r"`((?:gateway|scripts|tests|docs|benchmarks|model_repository)/[\w./*-]+)`", text))
    for path in paths:
        if "NAME" not in path:
            assert list(ROOT.glob(path.rstrip("/"))), path
    from gateway.settings import Settings, environment_names

    known = {name for field in Settings.model_fields for name in environment_names(field)}
    for name in set(re.findall(r"`(GATEWAY_[A-Z_]+)", text)) - {"GATEWAY_"}:
        assert name in known, name
    metrics = (ROOT / "docs/operations.md").read_text().partition("begin: metrics")[2].partition("end: metrics")[0]
    for name in set(re.findall(r"\b(gateway_[a-z_]+)\b", text)):
        assert f"`{name}`" in metrics, name
