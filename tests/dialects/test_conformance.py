"""Every API in the same seven situations: success, unknown model, too long, empty, wrong type, no key, too busy.

One row a call. What an API says of a situation is its own: a status, and a shape that its clients read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway import errors
from tests.support.edge import Edge, edge
from tests.support.instant_services import Instant, InstantServices

KEY = {"authorization": "Bearer right"}

Json = dict[str, Any]
Shape = Callable[[httpx.Response], bool]


def is_envelope(answer: httpx.Response) -> bool:
    """OpenAI's, and what Jina's, Voyage's and Cohere's clients look for on the paths that they share with it."""
    body = answer.json()
    texts = (body["error"]["message"], body["message"], body["detail"])
    return set(body["error"]) == {"message", "type", "param", "code"} and all(isinstance(text, str) for text in texts)


def is_ollamas(answer: httpx.Response) -> bool:
    return list(answer.json()) == ["error"] and isinstance(answer.json()["error"], str)


def is_coheres(answer: httpx.Response) -> bool:
    return set(answer.json()) == {"message", "id"} and isinstance(answer.json()["message"], str)


def is_teis(answer: httpx.Response) -> bool:
    if answer.status_code == 401:
        return answer.content == b""
    body = answer.json()
    kinds = {"Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"}
    return set(body) == {"error", "error_type"} and isinstance(body["error"], str) and body["error_type"] in kinds


def is_googles(answer: httpx.Response) -> bool:
    error = answer.json()["error"]
    words = {"INVALID_ARGUMENT", "UNAUTHENTICATED", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL"}
    return set(error) == {"code", "message", "status", "details"} and error["status"] in words


def is_runpods(answer: httpx.Response) -> bool:
    """A failed job, whatever the status: of the cloud it is 200 once there is a job."""
    body = answer.json()
    job = {"delayTime", "executionTime", "id"} if answer.status_code == 200 else set()
    return set(body) == {"error", "status", *job} and body["status"] == "FAILED" and isinstance(body["error"], str)


def is_azures(answer: httpx.Response) -> bool:
    error = answer.json()["error"]
    texts = (error["code"], error["message"], error["type"])
    return set(error) == {"code", "message", "param", "type"} and all(isinstance(text, str) for text in texts)


def is_vllms(answer: httpx.Response) -> bool:
    error = answer.json()["error"]
    return set(error) == {"message", "type", "param", "code"} and error["code"] == answer.status_code


@dataclass(frozen=True)
class Row:
    """`fields` succeed; `empty` and `wrong` change them. `statuses` are those of: unknown model, too long, empty, wrong
    type, no key, too busy; None where a situation is no error. `{model}` in a path stands for the model, which is then
    no field; `inside` names a field that holds all the others."""

    path: str
    shape: Shape
    fields: Json
    empty: Json
    wrong: Json
    statuses: tuple[int, int, int | None, int, int, int]
    behind: str = "embedder"
    model: str = "tiny"
    success: frozenset[str] | None = field(default=None)
    inside: str = ""

    def request(self, fields: Json) -> tuple[str, Json]:
        """Where it is sent, and the body."""
        fields, path = dict(fields), self.path
        if "{model}" in path:
            path = path.replace("{model}", str(fields.pop("model", None) or self.model))
        return path, {self.inside: fields} if self.inside else fields


OPENAI = (404, 400, 400, 400, 401, 429)
OLLAMA = (404, 400, None, 400, 401, 503)
COHERE = (404, 400, 400, 400, 401, 429)
TEI = (404, 422, 400, 422, 401, 429)
VLLM = frozenset({"id", "object", "created", "model", "data", "usage"})
RUNPOD = (200, 200, 200, 200, 401, 429)

ONE_CONTENT: Json = {"content": {"parts": [{"text": "a"}]}}
ONE_INPUT: Json = {"inputs": [{"content": [{"type": "text", "text": "a"}]}]}

ROWS = [
    Row("/v1/embeddings", is_envelope, {"input": "a"}, {"input": []}, {"input": 1.5}, OPENAI,
        success=frozenset({"object", "data", "model", "usage"})),
    Row("/v1/rerank", is_envelope, {"query": "q", "documents": ["a"]}, {"documents": []}, {"documents": 1}, OPENAI,
        "reranker", "tiny-reranker", frozenset({"id", "object", "model", "usage", "results", "meta"})),
    Row("/rerank", is_envelope, {"query": "q", "documents": ["a"]}, {"documents": []}, {"documents": 1}, OPENAI,
        "reranker", "tiny-reranker", frozenset({"id", "object", "model", "usage", "results", "meta"})),
    Row("/v1/classify", is_envelope, {"input": "a", "labels": ["b"]}, {"input": []}, {"input": 1}, OPENAI,
        "classifier", success=frozenset({"usage", "data"})),
    Row("/api/embed", is_ollamas, {"input": "a"}, {"input": []}, {"input": 1}, OLLAMA,
        success=frozenset({"model", "embeddings", "total_duration", "prompt_eval_count"})),
    Row("/api/embeddings", is_ollamas, {"prompt": "a"}, {"prompt": ""}, {"prompt": 1}, OLLAMA,
        success=frozenset({"embedding"})),
    Row("/v1/embed", is_coheres, {"texts": ["a"]}, {"texts": []}, {"texts": 1}, COHERE,
        success=frozenset({"id", "embeddings", "texts", "meta", "response_type"})),
    Row("/v2/embed", is_coheres, {"texts": ["a"]}, {"texts": []}, {"texts": 1}, COHERE,
        success=frozenset({"id", "embeddings", "texts", "meta", "response_type"})),
    Row("/v2/rerank", is_coheres, {"query": "q", "documents": ["a"]}, {"documents": []}, {"documents": 1}, COHERE,
        "reranker", "tiny-reranker", frozenset({"id", "results", "meta"})),
    Row("/embed", is_teis, {"inputs": "a"}, {"inputs": []}, {"inputs": 1}, TEI),
    Row("/embed_all", is_teis, {"inputs": "a", "model": "tiny-images"}, {"inputs": []}, {"inputs": 1}, TEI,
        model="tiny-images"),
    Row("/rerank", is_teis, {"query": "q", "texts": ["a"]}, {"texts": []}, {"texts": 1}, TEI, "reranker",
        "tiny-reranker"),
    Row("/predict", is_teis, {"inputs": ["q", "a"]}, {"inputs": []}, {"inputs": 1}, TEI, "reranker", "tiny-reranker"),
    Row("/similarity", is_teis, {"inputs": {"source_sentence": "q", "sentences": ["a"]}},
        {"inputs": {"source_sentence": "q", "sentences": []}}, {"inputs": 1}, TEI),
    Row("/", is_teis, {"inputs": "a"}, {"inputs": []}, {"inputs": 1}, TEI),
    Row("/openai/deployments/{model}/embeddings", is_azures, {"input": "a"}, {"input": []}, {"input": 1.5}, OPENAI,
        success=frozenset({"object", "data", "model", "usage"})),
    Row("/openai/v1/embeddings", is_azures, {"input": "a"}, {"input": []}, {"input": 1.5}, OPENAI,
        success=frozenset({"object", "data", "model", "usage"})),
    Row("/score", is_vllms, {"queries": "q", "documents": ["a"]}, {"documents": []}, {"documents": 1}, OPENAI,
        "reranker", "tiny-reranker", VLLM),
    Row("/v1/score", is_vllms, {"text_1": "q", "text_2": "a", "model": "tiny"}, {"text_2": []}, {"text_2": 1}, OPENAI,
        success=VLLM),
    Row("/pooling", is_vllms, {"input": ["a"]}, {"input": []}, {"input": 1}, OPENAI, success=VLLM),
    Row("/v1beta/models/{model}:embedContent", is_googles, ONE_CONTENT, {"content": {"parts": []}}, {"content": 1},
        OPENAI, success=frozenset({"embedding", "usageMetadata"})),
    Row("/v1/models/{model}:embedContent", is_googles, ONE_CONTENT, {"content": {"parts": []}}, {"content": 1},
        OPENAI, success=frozenset({"embedding", "usageMetadata"})),
    Row("/v1beta/models/{model}:batchEmbedContents", is_googles, {"requests": [ONE_CONTENT]}, {"requests": []},
        {"requests": 1}, OPENAI, success=frozenset({"embeddings", "usageMetadata"})),
    Row("/v1/multimodalembeddings", is_envelope, ONE_INPUT, {"inputs": []}, {"inputs": 1}, OPENAI,
        success=frozenset({"object", "data", "model", "usage"})),
    Row("/runsync", is_runpods, {"input": "a"}, {"input": []}, {"input": 1}, RUNPOD,
        success=frozenset({"delayTime", "executionTime", "id", "output", "status"}), inside="input"),
    Row("/v2/an-endpoint/runsync", is_runpods, {"query": "q", "docs": ["a"]}, {"docs": []}, {"docs": 1}, RUNPOD,
        "reranker", "tiny-reranker", frozenset({"delayTime", "executionTime", "id", "output", "status"}), "input"),
]  # fmt: skip

TOO_LONG = errors.TokenLimitExceeded("9 tokens, and 8 is the most. Please reduce your prompt.", param="input")
BUSY = errors.Overloaded("Too much is waiting.", retry_after_seconds=2)


@pytest.fixture(params=ROWS, ids=lambda row: f"{row.path} {row.shape.__name__}")
def row(request: pytest.FixtureRequest) -> Row:
    chosen = request.param
    assert isinstance(chosen, Row)
    return chosen


@pytest.fixture(scope="module")
def running() -> Iterator[Edge]:
    with edge(api_keys=("right",)) as made:
        yield made


def behind(services: InstantServices, row: Row) -> Instant[Any]:
    service = getattr(services, row.behind)
    assert isinstance(service, Instant)
    return service


def call(running: Edge, row: Row, changes: Json | None = None, *, error: Exception | None = None) -> httpx.Response:
    service = behind(running.services, row)
    service.error = error
    try:
        path, body = row.request(row.fields | (changes or {}))
        return running.client.post(path, json=body, headers=KEY)
    finally:
        service.error = None


def check(answer: httpx.Response, row: Row, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["x-request-id"]
    assert row.shape(answer), answer.text


def test_success(running: Edge, row: Row) -> None:
    answer = call(running, row, {"model": row.model})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    if row.success is None:
        assert isinstance(answer.json(), list)
    else:
        assert set(answer.json()) == row.success


def test_unknown_model(running: Edge, row: Row) -> None:
    check(call(running, row, {"model": "no-such-model"}), row, row.statuses[0])


def test_too_long(running: Edge, row: Row) -> None:
    answer = call(running, row, error=TOO_LONG)
    check(answer, row, row.statuses[1])
    assert "Please reduce your prompt" in answer.text


def test_empty(running: Edge, row: Row) -> None:
    answer = call(running, row, row.empty)
    if row.statuses[2] is None:
        assert answer.status_code == 200
    else:
        check(answer, row, row.statuses[2])


def test_wrong_type(running: Edge, row: Row) -> None:
    check(call(running, row, row.wrong), row, row.statuses[3])


def test_no_key(running: Edge, row: Row) -> None:
    """Before the body is read nobody knows whose request it is on a path of several, so that the envelope answers."""
    path, body = row.request(row.fields)
    refused = running.client.post(path, json=body)
    assert refused.status_code == row.statuses[4]
    assert refused.headers["www-authenticate"] == "Bearer"
    assert is_envelope(refused) if row.path == "/rerank" else row.shape(refused)


def test_too_busy(running: Edge, row: Row) -> None:
    answer = call(running, row, error=BUSY)
    check(answer, row, row.statuses[5])
    assert answer.headers["retry-after"] == "2"


def test_null_is_not_given_and_unknown_fields_are_ignored(running: Edge, row: Row) -> None:
    names = (
        "model", "dimensions", "encoding_format", "truncate", "task", "input_type", "user", "top_n", "return_documents",
        "options", "keep_alive", "embedding_types", "output_dimension", "truncation_direction", "prompt_name",
        "normalize", "raw_scores", "return_text", "parameters", "no_such_field",
    )  # fmt: skip
    nulls = {name: None for name in names if name not in row.fields}
    assert call(running, row, nulls).status_code == 200
    assert call(running, row, {"no_such_field": {"a": [1]}, "stream_options": {}}).status_code == 200


@pytest.mark.parametrize("end", ["", "/"])
def test_neither_redirects_nor_slashes_matter(running: Edge, row: Row, end: str) -> None:
    path, body = row.request(row.fields)
    path = path.rstrip("/") + end or "/"
    answer = running.client.post(path, json=body, headers=KEY, follow_redirects=False)
    assert answer.status_code == 200


NAMES = (
    "input", "inputs", "texts", "prompt", "content", "parts", "requests", "text", "inlineData", "data", "fileData",
    "type", "image_url", "image", "query", "docs", "documents", "labels", "model", "taskType", "options",
    "embedding_types", "outputDimensionality", "embedContentConfig", "policy", "webhook", "truncate", "encoding_format",
    "source_sentence",
)  # fmt: skip
PLAIN = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-9, 9) | st.text("a\u4e2d\x00:/ ", max_size=5)
)
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=4), keeps=st.booleans())
def test_whatever_is_sent_is_answered_or_refused_in_words(running: Edge, row: Row, fields: Json, keeps: bool) -> None:
    """With the fields that would succeed beside it or without: never a failure that nobody foresaw."""
    path, body = row.request((row.fields if keeps else {}) | fields)
    answer = running.client.post(path, json=body, headers=KEY)
    assert answer.status_code < 500 or answer.status_code in row.statuses, answer.text
    assert "did not foresee" not in answer.text
