"""`gateway runpod --rp_serve_api` as users test it: the stock client and plain HTTP against a real worker over a real
Triton."""

from __future__ import annotations

import base64
import concurrent.futures
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import runpod

from gateway.triton.embedded.ports import pick_free
from tests.conftest import BUNDLED_MODEL, REPOSITORY, missing_bundled_model, need
from tests.support.runpod_worker import Worker, dialled, foreign, run, started
from tests.support.triton_processes import processes_of, segments_of, warden_of

pytestmark = [pytest.mark.triton, pytest.mark.usefixtures("tritonserver")]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Worker, str]]:
    need(missing_bundled_model())
    (port,) = pick_free(1)
    options = ("--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", str(port), "--rp_api_concurrency", "2")
    folder = tmp_path_factory.mktemp("worker")
    with started(folder, *options, MODEL_NAME=BUNDLED_MODEL, GATEWAY_MODEL_REPOSITORY=str(REPOSITORY)) as worker:
        worker.wait_for("Uvicorn running on")
        yield worker, f"http://127.0.0.1:{port}"


@pytest.fixture
def api(served: tuple[Worker, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served[1], timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def endpoint(served: tuple[Worker, str], monkeypatch: pytest.MonkeyPatch) -> runpod.Endpoint:
    """The stock client. It puts an endpoint's id into the path, which the local API does not have; `.` goes away."""
    monkeypatch.setattr(runpod, "endpoint_url_base", served[1])
    monkeypatch.setenv("NO_PROXY", "*")
    return runpod.Endpoint(".", api_key="any")


def vector_of(api: httpx.Client, text: str) -> list[float]:
    answer = api.post("/runsync", json={"input": {"input": text}}).json()
    embedding: list[float] = answer["output"]["data"][0]["embedding"]
    return embedding


def test_the_stock_client_gets_the_seeds_answer(endpoint: runpod.Endpoint) -> None:
    texts = ["Hello, world!", "How are you?"]
    output = endpoint.run_sync({"input": {"model": BUNDLED_MODEL, "input": texts}}, timeout=60)
    assert (output["model"], output["object"]) == (BUNDLED_MODEL, "list")
    assert [(row["object"], row["index"], len(row["embedding"])) for row in output["data"]] == [
        ("embedding", 0, 384),
        ("embedding", 1, 384),
    ]
    assert output["usage"]["prompt_tokens"] == output["usage"]["total_tokens"] > 0
    for row in output["data"]:
        assert np.linalg.norm(row["embedding"]) == pytest.approx(1, abs=1e-5)


def test_run_stores_a_job_that_status_answers(endpoint: runpod.Endpoint, api: httpx.Client) -> None:
    job = endpoint.run({"input": {"input": "Hello", "embedding_type": ["float", "ubinary"]}})
    assert job.job_id.startswith("test-")
    answer = api.post(f"/status/{job.job_id}").json()
    assert (answer["id"], answer["status"]) == (job.job_id, "COMPLETED")
    embedding = answer["output"]["data"][0]["embedding"]
    bits = np.unpackbits(np.frombuffer(base64.b64decode(embedding["ubinary"]), np.uint8))
    assert bits.tolist() == [value > 0 for value in embedding["float"]]
    assert api.post(f"/status/{job.job_id}").json()["error"] == "Job ID not found"


def test_the_answer_to_run_is_the_references(api: httpx.Client) -> None:
    answer = api.post("/run", json={"input": {"input": "a"}}).json()
    assert sorted(answer) == ["id", "status"]
    assert answer["status"] == "IN_PROGRESS"


def test_an_unknown_job_is_failed(api: httpx.Client) -> None:
    assert api.post("/status/none").json() == {"id": "none", "status": "FAILED", "error": "Job ID not found"}


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({}, "code invalid_value, param input"),
        ({"input": [""] * 3000}, "code too_many_inputs"),
        ({"input": "a", "dimensions": 0}, "param dimensions"),
        ({"input": "a", "model": "none"}, "status 404, code model_not_found"),
        ({"input": "a " * 5000}, "code context_length_exceeded"),
        ({"query": "a", "docs": ["b"]}, "No reranker is served. Set RERANKER_MODEL_ID"),
        ({"input": [{"image": "https://example.com/a.png"}]}, "code unsupported_modality"),
    ],
)
def test_a_faulty_job_is_failed_with_a_sentence(api: httpx.Client, given: dict[str, Any], word: str) -> None:
    response = api.post("/runsync", json={"input": given})
    answer = response.json()
    assert response.status_code == 200
    assert answer["status"] == "FAILED"
    assert "output" not in answer
    assert word in answer["error"]
    assert "Traceback" not in answer["error"]


def test_an_input_that_is_no_object_is_the_packages_own_422(api: httpx.Client) -> None:
    assert api.post("/runsync", json={"input": "text"}).status_code == 422


def test_an_answer_is_not_a_stream(api: httpx.Client) -> None:
    job = api.post("/run", json={"input": {"input": "a"}}).json()["id"]
    assert "Stream not supported" in api.post(f"/stream/{job}").json()["error"]


def test_the_openai_route(api: httpx.Client) -> None:
    body = {"model": BUNDLED_MODEL, "input": ["Hello"], "encoding_format": "base64"}
    routed = {"openai_route": "/v1/embeddings", "openai_input": body}
    answer = api.post("/runsync", json={"input": routed}).json()
    decoded = np.frombuffer(base64.b64decode(answer["output"]["data"][0]["embedding"]), "<f4")
    np.testing.assert_allclose(decoded, vector_of(api, "Hello"), atol=1e-6)
    models = api.post("/runsync", json={"input": {"openai_route": "/v1/models", "openai_input": None}}).json()
    assert [model["id"] for model in models["output"]["data"]] == [BUNDLED_MODEL]
    faulty = api.post("/runsync", json={"input": {"openai_route": "/v1/embeddings", "openai_input": {}}}).json()
    assert (faulty["status"], faulty["output"]["object"], faulty["output"]["code"]) == ("COMPLETED", "error", 400)


def test_jobs_at_the_same_time_get_each_its_own(api: httpx.Client) -> None:
    texts = [f"text number {number} " + "word " * (number % 7) for number in range(24)]
    with concurrent.futures.ThreadPoolExecutor(12) as threads:
        together = list(threads.map(lambda text: vector_of(api, text), texts))
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(vector, vector_of(api, text), atol=1e-5)


def test_nothing_is_dialled_but_this_machine(served: tuple[Worker, str], api: httpx.Client) -> None:
    vector_of(api, "Hello")
    hosts = dialled(served[0].folder)
    assert "127.0.0.1" in hosts
    assert foreign(hosts) == set()


def test_a_second_worker_in_the_same_folder_is_refused_and_a_taken_port_named(served: tuple[Worker, str]) -> None:
    folder = served[0].folder
    port = served[1].rpartition(":")[2]
    values = {"MODEL_NAME": BUNDLED_MODEL, "GATEWAY_MODEL_REPOSITORY": str(REPOSITORY)}
    second = run(folder, "--test_input", '{"input": {"input": "a"}}', **values)
    assert second.returncode == 1
    assert "A gateway already runs from" in second.stderr
    other = run(
        folder, "--rp_serve_api", "--rp_api_port", port, **{**values, "GATEWAY_RUN_FOLDER": str(folder / "other")}
    )
    assert other.returncode == 1
    assert f"Port {port} (RunPod's local API) is taken by process" in other.stderr
    assert "Traceback" not in second.stderr + other.stderr


def test_a_job_that_meets_a_killed_model_is_answered_once_it_is_back(
    served: tuple[Worker, str], api: httpx.Client
) -> None:
    before = vector_of(api, "Hello")
    (stub,) = (process for process in processes_of(served[0].run_folder) if "stub" in process.name())
    stub.kill()
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: vector_of(api, "Hello"), range(4)))
    for answer in answers:
        np.testing.assert_allclose(answer, before, atol=1e-6)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    need(missing_bundled_model())
    (port,) = pick_free(1)
    values = {"MODEL_NAME": BUNDLED_MODEL, "GATEWAY_MODEL_REPOSITORY": str(REPOSITORY)}
    with started(tmp_path, "--rp_serve_api", "--rp_api_port", str(port), **values) as worker:
        worker.wait_for("Uvicorn running on")
        warden_pid = warden_of(worker.run_folder)
        assert segments_of(warden_pid)
        assert worker.stop(number) == 0
        assert "Traceback" not in worker.shown()
        assert not processes_of(worker.run_folder)
        assert not segments_of(warden_pid)


def test_a_stop_while_the_model_loads_is_a_clean_one(tmp_path: Path) -> None:
    need(missing_bundled_model())
    values = {"MODEL_NAME": BUNDLED_MODEL, "GATEWAY_MODEL_REPOSITORY": str(REPOSITORY)}
    with started(tmp_path, "--rp_serve_api", "--rp_api_port", str(pick_free(1)[0]), **values) as worker:
        worker.wait_for(f"loading {BUNDLED_MODEL}")
        assert worker.stop() == 0
        assert "Traceback" not in worker.shown()
        assert not processes_of(worker.run_folder)
