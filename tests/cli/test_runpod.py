"""`gateway runpod` on a command line: what it refuses, what it pulls, and the one answer that a script reads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import BUNDLED_MODEL, REPOSITORY, missing_bundled_model, missing_torch, need
from tests.support.local_hub import LocalHub, local_hub
from tests.support.runpod_worker import dialled, environment, foreign, processes_of, run
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


def test_help_lists_the_packages_own_arguments(tmp_path: Path) -> None:
    shown = run(tmp_path, "--help").stdout
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

    def test_that_fails_ends_with_1_and_says_why(self, tmp_path: Path) -> None:
        need(missing_bundled_model())
        finished = run(tmp_path, "--test_input", '{"id": "mine", "input": {"input": []}}', **SERVED)
        assert finished.returncode == 1
        answer = answer_of(finished)
        assert (answer["id"], answer["status"]) == ("mine", "FAILED")
        assert "param input" in answer["error"]

    def test_of_the_file_beside_it(self, tmp_path: Path) -> None:
        need(missing_bundled_model())
        (tmp_path / "test_input.json").write_text(HELLO)
        finished = run(tmp_path, **SERVED)
        assert finished.returncode == 0
        assert answer_of(finished)["output"]["model"] == BUNDLED_MODEL

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
    finished = run(tmp_path, "--test_input", json.dumps(job), **hub_values(hub, repository), DTYPE="float32")
    assert finished.returncode == 0, finished.stderr
    output = answer_of(finished)["output"]
    assert output["model"] == "jina-embeddings-v4"
    assert [len(row["embedding"]) for row in output["data"]] == [16, 16]


@pytest.mark.parametrize(
    ("options", "values", "message", "remedy"),
    [
        ((), {}, "There is nothing to do", "--test_input"),
        (("--test_input", "{"), {}, "--test_input is not valid JSON", '{"input": {"input": ["Hello world"]}}'),
        (("--test_input", "[]"), {}, 'has to be a JSON object with the key "input"', "For example"),
        (("--test_input", "{}"), {}, 'has to be a JSON object with the key "input"', "For example"),
        (("--test_input", HELLO), {"MODEL_NAME": "no/such"}, "The model 'no/such' does not exist.", "models list"),
        (("--test_input", HELLO), {"DTYPE": "int8"}, "GATEWAY_DTYPE is not valid", "Mend the variable"),
        (("--test_input", HELLO), {"GPU_MEMORY_UTILIZATION": "2"}, "GATEWAY_GPU_MEMORY_UTILIZATION is not valid", ""),
        (("--test_input", HELLO), {"MAX_MODEL_LEN": "x"}, "GATEWAY_MAX_MODEL_TOKENS is not valid", ""),
    ],
)
def test_a_mistake_is_one_sentence_and_its_remedy(
    tmp_path: Path, options: tuple[str, ...], values: dict[str, str], message: str, remedy: str
) -> None:
    finished = run(tmp_path, *options, **{**SERVED, **values})
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert message in finished.stderr
    assert remedy in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_faulty_test_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_input.json").write_text("not json")
    finished = run(tmp_path, **SERVED)
    assert finished.returncode == 1
    assert "test_input.json is not valid JSON" in finished.stderr


def test_a_model_that_cannot_be_pulled_is_told_in_words(hub: LocalHub, tmp_path: Path) -> None:
    repository = twin_repository(tmp_path / "models", PULLED)
    finished = run(tmp_path, "--test_input", HELLO, **hub_values(hub, repository, MODEL_NAME=PULLED))
    assert finished.returncode == 1
    assert "Remedy:" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_missing_package_is_told_with_its_remedy(tmp_path: Path) -> None:
    # A package of that name that is none stands in front of the installed one.
    hidden = tmp_path / "hidden" / "runpod"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('no runpod', name='runpod')\n")
    finished = run(tmp_path, "--test_input", HELLO, **SERVED, PYTHONPATH=str(hidden.parent))
    assert finished.returncode == 1
    assert "The runpod package is not installed here" in finished.stderr
    assert "pip install" in finished.stderr
