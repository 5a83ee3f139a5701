"""`gateway runpod` on a command line: what it refuses, what it pulls, and the one answer that a script reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.cli import main
from tests.conftest import BUNDLED_MODEL, REPOSITORY, missing_bundled_model, missing_torch, need
from tests.support.captured_log import captured_log
from tests.support.local_hub import LocalHub, local_hub
from tests.support.runpod_worker import dialled, environment, foreign, run
from tests.support.triton_processes import processes_of
from tests.support.twin_repository import publish_twins, twin_repository

HELLO = '{"input": {"model": "all-MiniLM-L6-v2", "input": ["Hello world"]}}'
SERVED = {"MODEL_NAME": BUNDLED_MODEL, "GATEWAY_MODEL_REPOSITORY": str(REPOSITORY)}
PULLED = "jina-embeddings-v2-base-en"
MERGED_TEXT_MATCHING = "jina-embeddings-v4-vllm-text-matching"
MERGED = "jina-embeddings-v4-vllm-retrieval"
HANDLER = REPOSITORY.parent / "src" / "handler.py"


def answer_of(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert finished.stdout, finished.stderr
    (line,) = finished.stdout.splitlines()
    answer: dict[str, Any] = json.loads(line)
    return answer


@dataclass(frozen=True)
class Refused:
    """A `gateway runpod` in this process that ended before anything was started."""

    code: object
    stdout: str
    stderr: str


Refuse = Callable[..., Refused]


@pytest.fixture
def refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refuse:
    monkeypatch.chdir(tmp_path)
    for name in environment(tmp_path).keys() ^ os.environ.keys():
        monkeypatch.delenv(name, raising=False)
    for name in ("RUNPOD_SKIP_AUTO_SYSTEM_CHECKS", "RUNPOD_SKIP_GPU_CHECK", "RUNPOD_REALTIME_CONCURRENCY"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("GATEWAY_RUN_FOLDER", str(tmp_path / "run"))

    def run_here(*options: str, **values: str) -> Refused:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        with captured_log(), pytest.raises(SystemExit) as ended:
            main(["runpod", *options])
        shown = capsys.readouterr()
        return Refused(ended.value.code, shown.out, shown.err)

    return run_here


def test_help_lists_the_packages_own_arguments(refuse: Refuse) -> None:
    shown = refuse("--help", COLUMNS="200").stdout
    names = ("test_input", "rp_serve_api", "rp_api_host", "rp_api_port", "rp_api_concurrency", "rp_log_level")
    for name in (*names, "rp_debugger"):
        assert f"--{name}" in shown


@pytest.mark.triton
class TestOneJob:
    """With `--test_input`."""

    pytestmark = pytest.mark.usefixtures("tritonserver")

    def test_prints_its_answer_and_nothing_else_and_leaves_nothing(self, tmp_path: Path) -> None:
        need(missing_bundled_model())
        finished = run(tmp_path, "--test_input", HELLO, **SERVED)
        assert finished.returncode == 0
        answer = answer_of(finished)
        assert (answer["id"], answer["status"]) == ("local_test", "COMPLETED")
        assert np.linalg.norm(answer["output"]["data"][0]["embedding"]) == pytest.approx(1, abs=1e-5)
        assert "Traceback" not in finished.stderr
        assert "Hello world" not in finished.stderr
        assert not processes_of(tmp_path / "run")
        assert "127.0.0.1" in dialled(tmp_path)
        assert foreign(dialled(tmp_path)) == set()

    def test_of_the_file_beside_it_that_fails_ends_with_1_and_says_why(self, tmp_path: Path) -> None:
        need(missing_bundled_model())
        (tmp_path / "test_input.json").write_text('{"id": "mine", "input": {"input": []}}')
        finished = run(tmp_path, **SERVED)
        assert finished.returncode == 1
        answer = answer_of(finished)
        assert (answer["id"], answer["status"]) == ("mine", "FAILED")
        assert "param input" in answer["error"]

    def test_through_the_handler_script_in_its_own_folder(self, tmp_path: Path) -> None:
        need(missing_bundled_model())
        finished = subprocess.run(
            [sys.executable, HANDLER.name, "--test_input", HELLO],
            capture_output=True, text=True, cwd=HANDLER.parent, timeout=60,
            env=environment(tmp_path, MODEL_NAME=BUNDLED_MODEL),
        )  # fmt: skip
        assert finished.returncode == 0, finished.stderr
        assert answer_of(finished)["output"]["model"] == BUNDLED_MODEL


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with local_hub() as made:
        yield made


def hub_values(hub: LocalHub, repository: Path, **values: str) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "GATEWAY_MODEL_REPOSITORY": str(repository), **values}


@pytest.mark.triton
@pytest.mark.usefixtures("tritonserver")
def test_a_missing_model_is_pulled_by_its_hub_id(hub: LocalHub, tmp_path: Path) -> None:
    repository = twin_repository(tmp_path / "models", PULLED)
    publish_twins(hub, PULLED)
    hub.token = "hf_secret"
    values = hub_values(hub, repository, MODEL_NAME=f"jinaai/{PULLED}", HF_TOKEN=hub.token)
    job = '{"input": {"input": "apples"}}'
    finished = run(tmp_path, "--test_input", job, **values)
    assert finished.returncode == 0, finished.stderr
    assert answer_of(finished)["output"]["model"] == PULLED
    assert f"Pulling {PULLED}" in finished.stderr
    assert "model.onnx" in finished.stderr
    assert hub.token not in finished.stderr
    again = len(hub.requests)
    assert run(tmp_path, "--test_input", job, **values).returncode == 0
    assert len(hub.requests) == again


@pytest.mark.triton
@pytest.mark.usefixtures("tritonserver")
def test_without_a_name_the_merged_retrieval_model_is_served_under_the_whole_ones(
    hub: LocalHub, tmp_path: Path
) -> None:
    need(missing_torch())
    repository = twin_repository(tmp_path / "models", MERGED, MERGED_TEXT_MATCHING)
    publish_twins(hub, MERGED)
    job = {"input": {"model": "jina-embeddings-v4", "input": ["Hello world", {"text": "you"}], "dimensions": 16}}
    finished = run(tmp_path, "--test_input", json.dumps(job), **hub_values(hub, repository), DTYPE="float16")
    assert finished.returncode == 0, finished.stderr
    assert "float16 can overflow" in finished.stderr
    output = answer_of(finished)["output"]
    assert output["model"] == "jina-embeddings-v4"
    assert [len(row["embedding"]) for row in output["data"]] == [16, 16]


@pytest.mark.usefixtures("tritonserver")
@pytest.mark.parametrize(
    ("options", "values", "message", "remedy"),
    [
        ((), {}, "There is nothing to do", "--test_input"),
        (("--test_input", "{"), {}, "--test_input is not valid JSON", '{"input": {"input": ["Hello world"]}}'),
        (("--test_input", "[]"), {}, 'has to be a JSON object with the key "input"', "For example"),
        (("--test_input", "{}"), {}, 'has to be a JSON object with the key "input"', "For example"),
        (("--test_input", HELLO), {"MODEL_NAME": "no/such"}, "The model 'no/such' does not exist.", "models list"),
        (("--test_input", HELLO), {"DTYPE": "int8"}, "Error: DTYPE is not valid", "Mend the variable"),
        (("--test_input", HELLO), {"GPU_MEMORY_UTILIZATION": "2"}, "Error: GPU_MEMORY_UTILIZATION is not valid", ""),
        (("--test_input", HELLO), {"MAX_MODEL_LEN": "x"}, "Error: MAX_MODEL_LEN is not valid", ""),
        (("--test_input", HELLO), {"GATEWAY_DTYPE": "int8"}, "Error: GATEWAY_DTYPE is not valid", ""),
    ],
)
def test_a_mistake_is_one_sentence_and_its_remedy(
    refuse: Refuse, options: tuple[str, ...], values: dict[str, str], message: str, remedy: str
) -> None:
    finished = refuse(*options, **{**SERVED, **values})
    assert finished.code == 1
    assert finished.stdout == ""
    assert message in finished.stderr
    assert remedy in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_faulty_test_file_is_named(refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "test_input.json").write_text("not json")
    finished = refuse(**SERVED)
    assert finished.code == 1
    assert "test_input.json is not valid JSON" in finished.stderr


@pytest.mark.usefixtures("tritonserver")
def test_a_model_that_cannot_be_pulled_is_told_in_words(refuse: Refuse, hub: LocalHub, tmp_path: Path) -> None:
    repository = twin_repository(tmp_path / "models", PULLED)
    finished = refuse("--test_input", HELLO, **hub_values(hub, repository, MODEL_NAME=PULLED))
    assert finished.code == 1
    assert "Remedy:" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_missing_package_is_told_with_its_remedy(refuse: Refuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "runpod.serverless", None)  # Python's own way to say: not to be had
    finished = refuse("--test_input", HELLO, **SERVED)
    assert finished.code == 1
    assert "The runpod package is not installed here" in finished.stderr
    assert "pip install" in finished.stderr
