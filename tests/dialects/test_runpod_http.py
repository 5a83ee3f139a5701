"""RunPod's operations inside the edge: the cloud's shapes and the local server's ways, whose a job is, and errors."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import Message

from gateway import errors
from gateway.dialects.endpoint import EndpointLimits
from gateway.dialects.inputs import InputLimits
from gateway.dialects.runpod_http import RunPod
from gateway.dialects.runpod_store import JobStore
from gateway.types import TextInput
from tests.support.edge import Edge, check_error, edge
from tests.support.instant_services import InstantServices, expected_score, expected_vector

BASES = ["", "/v2/an-endpoint", "/an-endpoint"]
ANN, BOB = {"authorization": "Bearer ann"}, {"authorization": "Bearer bob"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    with edge(max_inputs=8) as running:
        yield running


@pytest.fixture
def own() -> Iterator[Edge]:
    with edge() as running:
        yield running


@pytest.fixture
def guarded() -> Iterator[Edge]:
    with edge(api_keys=("ann", "bob")) as running:
        yield running


def job(text: str = "a", **fields: Any) -> dict[str, Any]:
    return {"input": {"input": text, **fields}}


def post(running: Edge, path: str, body: Any = None, **headers: str) -> httpx.Response:
    return running.client.post(path, json=body, headers=headers)


def started(running: Edge, body: Any, **headers: str) -> str:
    answer = post(running, "/run", body, **headers)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"id", "status"}
    assert answer.json()["status"] == "IN_QUEUE"
    return str(answer.json()["id"])


def over(running: Edge, job_id: str, **headers: str) -> dict[str, Any]:
    """The job's status once it is over."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        status: dict[str, Any] = running.client.get(f"/status/{job_id}", headers=headers).json()
        if status["status"] not in ("IN_QUEUE", "IN_PROGRESS"):
            return status
        time.sleep(0.005)
    raise AssertionError("the job did not end")


def check_refused(answer: httpx.Response, status: int, tail: str) -> None:
    """A request that became no job."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "status"}
    assert answer.json()["status"] == "FAILED"
    assert answer.json()["error"].endswith(tail)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("end", ["", "/"])
def test_a_job_that_is_waited_for(shared: Edge, base: str, end: str) -> None:
    answer = post(shared, f"{base}/runsync{end}", job("a harbour"))
    body = answer.json()
    assert list(body) == ["delayTime", "executionTime", "id", "output", "status"]
    assert (body["status"], answer.headers["content-type"]) == ("COMPLETED", "application/json")
    assert body["delayTime"] >= 0
    assert body["executionTime"] >= 0
    assert list(body["output"]) == ["model", "object", "data", "usage"]
    [row] = body["output"]["data"]
    assert np.float32(row["embedding"]).tolist() == expected_vector(TextInput("a harbour")).tolist()


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_job_that_is_asked_for_later_in_the_clouds_way_and_the_local_servers(
    shared: Edge, base: str, method: str
) -> None:
    job_id = post(shared, f"{base}/run", job("later")).json()["id"]
    body = over(shared, job_id)
    assert body == shared.client.request(method, f"{base}/status/{job_id}").json()
    assert set(body) == {"delayTime", "executionTime", "id", "output", "status"}
    assert (body["id"], body["status"]) == (job_id, "COMPLETED")
    [row] = body["output"]["data"]
    assert np.float32(row["embedding"]).tolist() == expected_vector(TextInput("later")).tolist()


def test_the_bodies_are_those_of_a_worker(shared: Edge) -> None:
    packed = post(shared, "/runsync", job("a", embedding_type="ubinary")).json()["output"]["data"][0]["embedding"]
    bits = np.unpackbits(np.frombuffer(base64.b64decode(packed), np.uint8))
    assert bits.tolist() == (expected_vector(TextInput("a")) > 0).astype(int).tolist()
    ranking = post(shared, "/runsync", {"input": {"query": "q", "docs": ["one", "two"], "return_docs": True}})
    scores = {row["document"]: row["relevance_score"] for row in ranking.json()["output"]["results"]}
    assert scores == {text: pytest.approx(float(expected_score("q", text))) for text in ("one", "two")}
    openai = {"openai_route": "/v1/embeddings", "openai_input": {"input": "a", "encoding_format": "base64"}}
    assert post(shared, "/runsync", {"input": openai}).json()["output"]["object"] == "list"


def test_a_failed_job_is_a_200_that_says_so(shared: Edge) -> None:
    for path in ("/runsync", "/run"):
        body = post(shared, path, job("a", model="none")).json()
        body = over(shared, body["id"]) if path == "/run" else body
        assert set(body) == {"delayTime", "executionTime", "id", "error", "status"}
        assert body["status"] == "FAILED"
        assert body["error"].endswith("(status 404, code model_not_found, param model)")


def test_openais_faults_are_an_answer(shared: Edge) -> None:
    openai = {"openai_route": "/v1/embeddings", "openai_input": {"input": []}}
    body = post(shared, "/runsync", {"input": openai}).json()
    assert (body["status"], body["output"]["object"], body["output"]["code"]) == ("COMPLETED", "error", 400)


@pytest.mark.parametrize("path", ["/run", "/runsync"])
@pytest.mark.parametrize("given", [{}, {"input": None}, {"input": "a"}, {"input": ["a"]}, {"input": 1}])
def test_an_input_that_is_no_object_becomes_no_job(shared: Edge, path: str, given: dict[str, Any]) -> None:
    check_refused(post(shared, path, given), 400, "(status 400, code invalid_value, param input)")


@pytest.mark.parametrize("path", ["/run", "/runsync"])
def test_a_webhook_is_refused_rather_than_forgotten(shared: Edge, path: str) -> None:
    answer = post(shared, path, job() | {"webhook": "https://example.org/hook"})
    check_refused(answer, 400, "param webhook)")
    assert post(shared, path, job() | {"webhook": None, "s3Config": {}, "else": 1}).status_code == 200


@pytest.mark.parametrize("wait", ["x", "-1", "1.5", ""])
def test_a_wait_that_is_no_number_is_refused(shared: Edge, wait: str) -> None:
    answer = post(shared, f"/runsync?wait={wait}&x=", job())
    if wait:
        check_refused(answer, 400, "param wait)")
    else:
        assert answer.status_code == 200


@pytest.mark.parametrize("wait", ["0", "1000", "300000", "9" * 30])
def test_a_wait_is_brought_to_what_runpod_takes(shared: Edge, wait: str) -> None:
    assert post(shared, f"/runsync?wait={wait}", job()).json()["status"] == "COMPLETED"


def test_a_job_that_takes_longer_than_is_waited_goes_on(own: Edge) -> None:
    own.services.embedder.pause_seconds = 1.3
    body = post(own, "/runsync?wait=1000", job("slow")).json()
    assert set(body) == {"delayTime", "id", "status"}
    assert body["status"] == "IN_PROGRESS"
    assert over(own, body["id"])["status"] == "COMPLETED"


def test_too_much_to_do_is_a_429_for_who_waits(own: Edge) -> None:
    own.services.embedder.error = errors.Overloaded("Busy.", retry_after_seconds=3)
    answer = post(own, "/runsync", job())
    check_refused(answer, 429, "(status 429, code overloaded)")
    assert answer.headers["retry-after"] == "3"


@pytest.mark.parametrize("path", ["/status/{}", "/cancel/{}", "/stream/{}"])
@pytest.mark.parametrize("base", BASES)
def test_of_a_job_that_nobody_knows(shared: Edge, path: str, base: str) -> None:
    check_refused(post(shared, base + path.format("none")), 404, "(status 404, code job_not_found)")


def test_no_caller_hears_of_anothers_job_or_ends_it(guarded: Edge) -> None:
    job_id = started(guarded, job(), **ANN)
    unknown = guarded.client.get("/status/none", headers=BOB)
    for method, path in (("GET", "status"), ("POST", "status"), ("POST", "cancel"), ("GET", "stream")):
        answer = guarded.client.request(method, f"/{path}/{job_id}", headers=BOB)
        assert (answer.status_code, answer.json()) == (404, unknown.json())
        assert guarded.client.request(method, f"/{path}/{job_id}").status_code == 401
    assert over(guarded, job_id, **ANN)["status"] == "COMPLETED"
    assert guarded.client.get(f"/status/{job_id}", headers={"x-api-key": "ann"}).status_code == 200


def test_a_purge_is_of_ones_own_jobs(guarded: Edge) -> None:
    guarded.services.embedder.hold = True
    ids = [started(guarded, job(str(number)), **ANN) for number in range(40)]
    others = started(guarded, job("b"), **BOB)
    removed = post(guarded, "/v2/x/purge-queue", **ANN).json()
    assert removed == {"removed": 8, "status": "completed"}  # 32 are under way
    states = [guarded.client.get(f"/status/{one}", headers=ANN).json()["status"] for one in ids]
    assert states == ["IN_PROGRESS"] * 32 + ["CANCELLED"] * 8
    assert guarded.client.get(f"/status/{others}", headers=BOB).json()["status"] == "IN_QUEUE"


def test_a_job_is_cancelled(own: Edge) -> None:
    own.services.embedder.hold = True
    job_id = started(own, job())
    assert own.client.get(f"/status/{job_id}").json()["status"] == "IN_PROGRESS"
    assert own.client.post(f"/cancel/{job_id}").json() == {"id": job_id, "status": "CANCELLED"}
    assert over(own, job_id)["status"] == "CANCELLED"
    own.services.embedder.hold = False
    done = started(own, job())
    over(own, done)
    assert own.client.post(f"/v2/x/cancel/{done}").json() == {"id": done, "status": "COMPLETED"}


def test_a_client_that_streams_comes_to_an_end(shared: Edge) -> None:
    """RunPod's own client stops once a job is over and nothing has come."""
    job_id = started(shared, job())
    over(shared, job_id)
    for method in ("GET", "POST"):
        assert shared.client.request(method, f"/stream/{job_id}").json() == {"status": "COMPLETED", "stream": []}


def test_a_retry_is_not_offered(shared: Edge) -> None:
    check_refused(post(shared, "/v2/x/retry/some-job"), 403, "(status 403, code not_offered)")


def test_a_body_that_cannot_be_read_is_told_in_runpods_shape(shared: Edge) -> None:
    for content in (b"", b"[", b"[1]"):
        answer = shared.client.post("/v2/x/runsync", content=content)
        check_refused(answer, 400, "(status 400, code malformed_body)")


def test_without_a_key_nothing_is_started(guarded: Edge) -> None:
    for path in ("/run", "/runsync", "/v2/x/run"):
        check_refused(post(guarded, path, job()), 401, "(status 401, code invalid_api_key)")
    assert guarded.services.embedder.seen == []


def test_the_default_model_of_a_key_is_that_of_its_jobs(tmp_path: Any) -> None:
    keys = tmp_path / "keys"
    keys.write_text("ann model=tiny-images\nbob\n")
    with edge(api_keys_file=keys) as running:
        assert post(running, "/runsync", job(), **ANN).json()["output"]["model"] == "tiny-images"
        assert over(running, started(running, job(), **ANN), **ANN)["output"]["model"] == "tiny-images"
        assert post(running, "/runsync", job(), **BOB).json()["output"]["model"] == "tiny"


@pytest.mark.parametrize("base", BASES)
def test_the_health_of_an_endpoint(guarded: Edge, base: str) -> None:
    health = guarded.client.get(f"{base}/health", headers=ANN).json()
    assert set(health["jobs"]) == {"completed", "failed", "inProgress", "inQueue", "retried"}
    assert set(health["workers"]) == {"idle", "initializing", "ready", "running", "throttled", "unhealthy"}
    assert guarded.client.get(f"{base}/health").status_code == (401 if base else 200)


def test_a_jobs_own_timeout_is_its_deadline(own: Edge) -> None:
    before = time.monotonic()
    post(own, "/runsync", job() | {"policy": {"executionTimeout": 5000}})
    assert before + 5 <= own.services.embedder.seen[0].deadline <= time.monotonic() + 5


@pytest.mark.parametrize("base", ["/v2/an-endpoint/openai/v1", "/an-endpoint/openai/v1"])
def test_openais_api_below_an_endpoint_is_openais(guarded: Edge, base: str) -> None:
    answer = post(guarded, f"{base}/embeddings", {"input": "a"}, **ANN)
    assert answer.json() == post(guarded, "/v1/embeddings", {"input": "a"}, **ANN).json()
    models = guarded.client.get(f"{base}/models", headers=ANN).json()
    assert models == guarded.client.get("/v1/models", headers=ANN).json()
    assert guarded.client.get(f"{base}/models/acme/Tiny-Model", headers=ANN).json()["id"] == "tiny"
    check_error(post(guarded, f"{base}/embeddings", {"input": "a", "model": "none"}, **ANN), 404)
    check_error(post(guarded, f"{base}/embeddings", {"input": "a"}), 401)


async def test_who_hangs_up_leaves_no_job_behind() -> None:
    """Nobody has its id, so nobody could ask for what comes of it."""
    instant, store = InstantServices(), JobStore()
    instant.embedder.hold = True
    limits = EndpointLimits(InputLimits(max_inputs=8, max_image_bytes=9), max_body_values=99, request_timeout_seconds=9)
    dialect = RunPod(limits, concurrency=1, max_output_bytes=100_000, store=store)
    endpoint = next(route.app for route in dialect.routes() if isinstance(route, Route) and route.path == "/runsync")
    messages = [{"type": "http.request", "body": b'{"input": {"input": "a"}}'}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        if len(messages) == 1:
            while not instant.embedder.seen:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            assert len(store) == 1
        return messages.pop(0)

    async def send(message: Message) -> None:
        raise AssertionError("there is nobody to answer")

    async with instant.start() as services, dialect.running():
        scope = {"type": "http", "method": "POST", "path": "/runsync", "query_string": b"", "headers": []}
        with pytest.raises(ClientDisconnect):
            await endpoint({**scope, "state": services.as_state()}, receive, send)
        assert len(store) == 0
        await asyncio.wait_for(instant.embedder.cancelled.wait(), 10)
