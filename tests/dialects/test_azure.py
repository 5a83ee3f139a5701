"""Azure's paths: the deployment is the model, versions do not matter, errors are Azure's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from gateway import errors
from gateway.types import TextInput
from tests.support.edge import Edge, edge
from tests.support.instant_models import RERANKER
from tests.support.instant_services import expected_vector

VERSION = {"api-version": "2024-10-21"}
BASES = ["/openai", "", "/v1/openai"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    """For tests that leave the services as they are."""
    with edge() as running:
        yield running


@pytest.fixture
def own() -> Iterator[Edge]:
    with edge() as running:
        yield running


def post(running: Edge, deployment: str, *, base: str = "/openai", end: str = "", **fields: Any) -> httpx.Response:
    path = f"{base}/deployments/{deployment}/embeddings{end}"
    return running.client.post(path, json={"input": "a text", **fields}, params=VERSION, follow_redirects=False)


def check_error(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["x-request-id"]
    body = answer.json()
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert set(error) == {"code", "message", "param", "type"}
    assert error["code"] == code
    assert error["message"]
    return error


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("deployment", ["tiny", "TINY", "acme/Tiny-Model", "acme%2FTiny-Model", "text-embedding-tiny"])
def test_a_deployment_is_a_model_by_any_of_its_names(shared: Edge, deployment: str, base: str, end: str) -> None:
    answer = post(shared, deployment, base=base, end=end).raise_for_status()
    assert answer.json()["model"] == "tiny"
    vector = np.asarray(answer.json()["data"][0]["embedding"], np.float32)
    assert np.array_equal(vector, expected_vector(TextInput("a text")))


def test_what_the_body_calls_the_model_does_not_count(own: Edge) -> None:
    post(own, "tiny", model="text-embedding-3-large").raise_for_status()
    post(own, "tiny", model=7).raise_for_status()
    assert [seen.model for seen in own.services.embedder.seen] == ["tiny", "tiny"]


@pytest.mark.parametrize("query", ["", "?api-version=", "?api-version=nonsense", "?api-version=preview&other=1"])
@pytest.mark.parametrize("path", ["/openai/deployments/tiny/embeddings", "/openai/v1/embeddings", "/openai/embeddings"])
def test_any_version_will_do(shared: Edge, path: str, query: str) -> None:
    assert shared.client.post(path + query, json={"input": "a"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/openai/v1/embeddings", "/openai/embeddings/", "/openai/deployments/tiny/embeddings"]
)
def test_fields_and_answers_are_openais(own: Edge, path: str) -> None:
    answer = own.client.post(path, json={"input": ["a", "b"], "dimensions": 8, "encoding_format": "base64"})
    assert answer.headers["openai-version"]
    assert list(answer.json()) == ["object", "data", "model", "usage"]
    assert [(item["index"], len(item["embedding"])) for item in answer.json()["data"]] == [(0, 44), (1, 44)]
    assert own.services.embedder.seen[0].dimensions == 8


def test_the_newer_path_takes_the_model_from_the_body(shared: Edge) -> None:
    def named(model: str) -> httpx.Response:
        return shared.client.post("/openai/v1/embeddings", json={"input": "a", "model": model})

    assert named("acme/tiny-model").json()["model"] == "tiny"
    check_error(named("none-such"), 404, "DeploymentNotFound")


def test_models_are_listed_as_by_openai(shared: Edge) -> None:
    assert shared.client.get("/openai/v1/models").json() == shared.client.get("/v1/models").json()
    assert shared.client.get("/openai/v1/models/acme/Tiny-Model").json()["id"] == "tiny"
    assert shared.client.head("/openai/v1/models").status_code == 200
    check_error(shared.client.get("/openai/v1/models/none-such"), 404, "DeploymentNotFound")


@pytest.mark.parametrize("deployment", ["none-such", "%20", "a/b/c", "tiny/embeddings"])
def test_unknown_deployments(shared: Edge, deployment: str) -> None:
    error = check_error(post(shared, deployment, model="tiny"), 404, "DeploymentNotFound")
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("error", "status", "code", "kind"),
    [
        (errors.InvalidField("No.", param="dimensions"), 400, "invalid_value", "invalid_request_error"),
        (errors.TokenLimitExceeded("Long.", param="input"), 400, "context_length_exceeded", "invalid_request_error"),
        (errors.InvalidField("Kind.", param="model", code="wrong_model_kind"), 400, "OperationNotSupported",
         "invalid_request_error"),
        (errors.Overloaded("Full."), 429, "RateLimitReached", "rate_limit_error"),
        (errors.EngineUnavailable("Away."), 503, "engine_unavailable", "server_error"),
        (errors.InferenceFailed("Failed."), 500, "inference_failed", "server_error"),
        (RuntimeError("never told"), 500, "InternalServerError", "server_error"),
    ],
)  # fmt: skip
def test_errors_are_azures(own: Edge, error: Exception, status: int, code: str, kind: str) -> None:
    own.services.embedder.error = error
    answer = post(own, "tiny")
    told = check_error(answer, status, code)
    assert told["type"] == kind
    assert told["param"] == getattr(error, "param", None)
    assert "never told" not in answer.text
    assert ("retry-after" in answer.headers) == (status in (429, 503))


def test_a_reranker_is_no_deployment_for_embeddings(shared: Edge) -> None:
    check_error(post(shared, RERANKER), 400, "invalid_value")


@pytest.mark.parametrize("path", ["/openai/deployments/tiny/completions", "/openai/v1/responses", "/openai/nothing"])
def test_paths_that_nobody_has_are_worded_as_by_azure(shared: Edge, path: str) -> None:
    check_error(shared.client.post(path, json={}), 404, "404")
    assert shared.client.get("/openai/deployments/tiny/embeddings").status_code == 405


@pytest.mark.parametrize("header", [{"api-key": "right"}, {"authorization": "Bearer right"}, {"x-api-key": "right"}])
def test_the_key_comes_as_azures_clients_send_it(header: dict[str, str]) -> None:
    with edge(api_keys=("right",)) as running:
        for path in ("/openai/deployments/tiny/embeddings", "/openai/v1/embeddings"):
            assert running.client.post(path, json={"input": "a"}, headers=header).status_code == 200
            refused = running.client.post(path, json={"input": "a"}, headers={"api-key": "wrong"})
            check_error(refused, 401, "401")
        check_error(running.client.post("/openai/nothing", json={}), 401, "401")
