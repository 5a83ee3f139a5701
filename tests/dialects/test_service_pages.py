"""What probes and operators see, ready and not."""

from __future__ import annotations

import pytest

from gateway.app import VERSION
from tests.support.edge import edge
from tests.support.instant_services import ModelState, Report

WANTS_JSON = {"accept": "application/json"}


def test_everything_well() -> None:
    with edge() as running:
        assert running.client.get("/live").json() == {"status": "live"}
        assert running.client.get("/ready").json() == {"status": "ready"}
        assert running.client.get("/health").json() == {
            "status": "ready",
            "reason": "",
            "version": VERSION,
            "models": {"tiny": {"state": "ready", "reason": ""}},
            "jobs": {"completed": 2, "failed": 0, "inProgress": 0, "inQueue": 0, "retried": 0},
            "workers": {"idle": 1, "initializing": 0, "ready": 1, "running": 0, "throttled": 0, "unhealthy": 0},
        }


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "text/plain; charset=utf-8"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/json", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
    ],
)
def test_the_front_page_is_what_the_caller_accepts(method: str, accept: str, content_type: str) -> None:
    with edge() as running:
        answer = running.client.request(method, "/", headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, content_type)
    assert answer.headers["vary"] == "accept"
    if method == "HEAD":
        assert answer.content == b""
    elif content_type.startswith("text/plain"):
        assert answer.text == "Ollama is running"


def test_health_counts_requests_as_runpod_counts_jobs() -> None:
    with edge() as running:
        running.embed()
        running.services.embedder.error = RuntimeError("a defect")
        running.embed()
        running.services.health.current = Report(
            ready=False, models={"a": ModelState("ready"), "b": ModelState("starting")}
        )
        body = running.client.get("/health").json()
    assert body["jobs"] == {"completed": 1, "failed": 1, "inProgress": 0, "inQueue": 0, "retried": 0}
    assert (body["workers"]["idle"], body["workers"]["unhealthy"]) == (1, 1)


def test_not_ready_is_503_everywhere_but_live() -> None:
    with edge() as running:
        running.services.health.current = Report(
            ready=False, models={"tiny": ModelState("unavailable", "Triton is away")}
        )
        assert running.client.get("/live").status_code == 200
        for path in ("/ready", "/health"):
            answer = running.client.get(path)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
        body = running.client.get("/health").json()
        assert body["models"] == {"tiny": {"state": "unavailable", "reason": "Triton is away"}}
        assert (body["error"], body["error_type"]) == ("Not every model is ready.", "Unhealthy")


def test_the_front_page_links_to_pages_that_exist() -> None:
    with edge() as running:
        links = running.client.get("/", headers=WANTS_JSON).json()["links"]
        answers = {path: running.client.get(path).status_code for path in links.values()}
        for path in ("/v1/embeddings", "/v1/rerank", "/v1/classify"):
            assert answers.pop(path) == 405
        assert answers.pop("/v1/segment") == 400
        assert set(answers.values()) == {200}


def test_without_docs_there_are_no_links_to_them() -> None:
    with edge(api_docs=False) as running:
        links = set(running.client.get("/", headers=WANTS_JSON).json()["links"])
        assert links == {"embeddings", "rerank", "classify", "segment", "models", "health", "metrics"}


def test_metrics_count_what_happened() -> None:
    with edge() as running:
        for _ in range(3):
            running.embed()
        running.embed(dimensions=0)
        answer = running.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    lines = answer.text.splitlines()
    assert 'gateway_requests_total{model="tiny",route="embeddings",status="200"} 3.0' in lines
    assert 'gateway_requests_total{model="",route="embeddings",status="400"} 1.0' in lines
    assert 'gateway_errors_total{code="invalid_value",route="embeddings"} 1.0' in lines
    assert 'gateway_request_seconds_count{route="embeddings"} 4.0' in lines
    assert "gateway_requests_in_progress 1.0" in lines  # this one


def test_paths_of_callers_never_become_labels() -> None:
    with edge() as running:
        for index in range(20):
            running.client.get(f"/made-up-{index}")
            running.client.get(f"/v1/models/made-up-{index}")
            running.embed(model=f"made-up-{index}")
        assert "made-up" not in running.client.get("/metrics").text
