"""Rerank, classify and segment inside the edge: spellings of the path, errors, hostile bodies, disconnects."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway import errors
from gateway.app import create_app
from gateway.types import ImageInput, LongDocuments, TextInput
from tests.support.edge import Edge, check_error, edge, settings
from tests.support.instant_models import IMAGE_MODEL
from tests.support.instant_services import (
    Instant,
    InstantServices,
    expected_label_scores,
    expected_score,
)

RERANK = {"query": "q", "documents": ["a", {"text": "b"}, "c"]}
CLASSIFY = {"input": ["a", "b"], "labels": ["x", "y", "z"]}
SEGMENT = {"content": "one two three"}
BODIES = {"/v1/rerank": RERANK, "/v1/classify": CLASSIFY, "/v1/segment": SEGMENT}
SPELLINGS = [
    ("/v1/rerank", path) for path in ("/v1/rerank", "/rerank", "/v1/reranker", "/reranker", "/v1/v1/rerank")
] + [
    *(("/v1/classify", path) for path in ("/v1/classify", "/classify", "/v1/v1/classify")),
    *(("/v1/segment", path) for path in ("/v1/segment", "/segment", "/v1/v1/segment")),
]


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    """For tests that leave the services as they are."""
    with edge(max_inputs=32) as running:
        yield running


@pytest.fixture
def own() -> Iterator[Edge]:
    with edge() as running:
        yield running


def behind(services: InstantServices, path: str) -> Instant[Any]:
    of_paths: dict[str, Instant[Any]] = {
        "/v1/rerank": services.reranker,
        "/v1/classify": services.classifier,
        "/v1/segment": services.segmenter,
    }
    return of_paths[path]


@pytest.mark.parametrize(("path", "spelling"), SPELLINGS)
@pytest.mark.parametrize("end", ["", "/"])
def test_every_spelling_of_the_path_answers_without_a_redirect(
    shared: Edge, path: str, spelling: str, end: str
) -> None:
    answer = shared.client.post(spelling + end, json=BODIES[path], follow_redirects=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"


def test_rerank(shared: Edge) -> None:
    answer = shared.client.post("/v1/rerank", json=RERANK)
    body = answer.json()
    assert body["model"] == "tiny-reranker"
    assert body["id"] == answer.headers["x-request-id"]
    expected = {text: round(float(expected_score("q", text)), 8) for text in "abc"}
    assert [row["relevance_score"] for row in body["results"]] == sorted(expected.values(), reverse=True)
    for row in body["results"]:
        given_form = RERANK["documents"][row["index"]]
        text = given_form["text"] if isinstance(given_form, dict) else given_form
        assert row["document"] == given_form
        assert row["relevance_score"] == expected[text]


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/rerank", {}), ("/rerank/", {}), ("/v1/rerank", {"Request-Source": "unspecified:elasticsearch"})],
)
def test_whose_clients_read_objects_alone_get_them(shared: Edge, path: str, headers: dict[str, str]) -> None:
    """LiteLLM's provider for vLLM, which calls `/rerank`, and Elasticsearch's service for Cohere fail on a string."""
    rows = shared.client.post(path, json=RERANK, headers=headers).json()["results"]
    assert {row["index"]: row["document"] for row in rows} == {n: {"text": text} for n, text in enumerate("abc")}
    silent = shared.client.post(path, json=RERANK | {"return_documents": False}, headers=headers).json()["results"]
    # Elasticsearch's parser refuses any other key of a row.
    assert all(set(row) == {"index", "relevance_score"} for row in silent)


@pytest.mark.parametrize("fields", [{"top_k": None}, {"top_k": 1}])
def test_voyages_client_reads_the_ranking_as_data(fields: dict[str, Any], shared: Edge) -> None:
    body = shared.client.post("/v1/rerank", json=RERANK | fields).json()
    assert body["data"] == body["results"] != []
    assert "data" not in shared.client.post("/v1/rerank", json=RERANK).json()


def test_rerank_fields_reach_the_service(own: Edge) -> None:
    fields = {"model": "acme/tiny-reranker", "truncation": True, "max_doc_length": 9, "top_n": 1}
    assert len(own.client.post("/v1/rerank", json=RERANK | fields).json()["results"]) == 1
    [seen] = own.services.reranker.seen
    assert (seen.query, tuple(seen.documents), seen.model) == ("q", ("a", "b", "c"), "acme/tiny-reranker")
    assert (seen.long_documents, seen.max_document_tokens) == (LongDocuments.TRUNCATE, 9)


def test_classify(shared: Edge) -> None:
    body = shared.client.post("/v1/classify", json=CLASSIFY).json()
    for item, text in zip(body["data"], ("a", "b"), strict=True):
        scores = expected_label_scores(TextInput(text), ("x", "y", "z"))
        assert [prediction["score"] for prediction in item["predictions"]] == pytest.approx(scores.tolist())
        assert item["prediction"] == "xyz"[scores.argmax()]


def test_images_are_classified_by_a_model_that_reads_them(shared: Edge) -> None:
    fields = CLASSIFY | {"input": ["a", {"image": "iVBORw"}]}
    body = shared.client.post("/v1/classify", json=fields | {"model": IMAGE_MODEL}).json()
    scores = expected_label_scores(ImageInput(data=b"\x89PNG"), ("x", "y", "z"))
    assert [one["score"] for one in body["data"][1]["predictions"]] == pytest.approx(scores.tolist())
    assert check_error(shared.client.post("/v1/classify", json=fields), 400)["code"] == "unsupported_modality"


@pytest.mark.parametrize("change", [{"documents": ["a", {"image": "iVBORw"}]}, {"query": {"url": "https://h/a.png"}}])
def test_rerankers_read_text_only(shared: Edge, change: dict[str, Any]) -> None:
    error = check_error(shared.client.post("/v1/rerank", json=RERANK | change), 400)
    assert (error["code"], error["param"]) == ("unsupported_modality", next(iter(change)))
    assert "reads text only" in error["message"]


def test_segment_by_post_and_by_get(shared: Edge) -> None:
    posted = shared.client.post("/v1/segment", json=SEGMENT | {"return_chunks": True, "max_chunk_length": 4}).json()
    assert posted["chunks"] == ["one ", "two ", "thre", "e"]
    plain = {"num_tokens": 3, "tokenizer": "cl100k_base", "usage": {"tokens": 0}}
    for path in ("/v1/segment", "/segment", "/v1/segment/"):
        assert shared.client.get(path, params={"content": "one two three"}).json() == plain
    named = shared.client.get("/v1/segment", params={"content": "\u00e4 b", "tokenizer": "tiny"}).json()
    assert (named["num_tokens"], named["tokenizer"]) == (2, "tiny")


@pytest.mark.parametrize("query", ["", "content", "tokenizer=tiny", "content=%ff", "content=a&" * 40, "%00=%00"])
def test_odd_query_strings(shared: Edge, query: str) -> None:
    answer = shared.client.get(f"/v1/segment?{query}")
    if query != "content":  # an empty text, of no tokens
        check_error(answer, 400)


def test_an_unknown_tokenizer_is_a_bad_request(shared: Edge) -> None:
    answer = shared.client.post("/v1/segment", json=SEGMENT | {"tokenizer": "gpt9"})
    assert check_error(answer, 400)["param"] == "tokenizer"


@pytest.mark.parametrize("path", ["/v1/rerank", "/v1/classify"])
def test_unknown_models(shared: Edge, path: str) -> None:
    error = check_error(shared.client.post(path, json=BODIES[path] | {"model": "other"}), 404)
    assert (error["code"], error["param"]) == ("model_not_found", "model")


RAISED: list[tuple[Exception, int, str]] = [
    (errors.InvalidField("m", param="query"), 400, "invalid_value"),
    (errors.TokenLimitExceeded("m", param="input"), 400, "context_length_exceeded"),
    (errors.InvalidImage("m", param="input"), 400, "invalid_image"),
    (errors.Overloaded("m"), 429, "overloaded"),
    (errors.DeviceOutOfMemory("m"), 503, "device_out_of_memory"),
    (errors.EngineUnavailable("m"), 503, "engine_unavailable"),
    (errors.DeadlineExceeded("m"), 504, "deadline_exceeded"),
    (errors.InferenceFailed("m"), 500, "inference_failed"),
    (RuntimeError("secret"), 500, "internal_error"),
]


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(("raised", "status", "code"), RAISED)
def test_errors_of_the_services(own: Edge, path: str, raised: Exception, status: int, code: str) -> None:
    behind(own.services, path).error = raised
    answer = own.client.post(path, json=BODIES[path])
    assert check_error(answer, status)["code"] == code
    assert "secret" not in answer.text


@pytest.mark.parametrize("path", BODIES)
def test_metrics_know_the_route(own: Edge, path: str) -> None:
    own.client.post(path, json=BODIES[path])
    own.client.post(path, json={})
    route = path.rpartition("/")[2]
    text = own.client.get("/metrics").text
    model = {"rerank": "tiny-reranker", "classify": "tiny", "segment": ""}[route]
    assert f'gateway_requests_total{{model="{model}",route="{route}",status="200"}} 1.0' in text
    assert f'gateway_requests_total{{model="",route="{route}",status="400"}} 1.0' in text


@pytest.mark.parametrize("path", BODIES)
def test_keys_are_needed_here_too(path: str) -> None:
    with edge(api_keys=("right",)) as running:
        check_error(running.client.post(path, json=BODIES[path]), 401)
        headers = {"authorization": "Bearer right"}
        assert running.client.post(path, json=BODIES[path], headers=headers).status_code == 200


@pytest.mark.parametrize("path", BODIES)
def test_bodies_are_bounded(path: str) -> None:
    with edge(max_body_bytes=1000, max_request_tokens=100, max_inputs=10) as running:
        check_error(running.client.post(path, json=BODIES[path] | {"other": "x" * 2000}), 413)
        refused = running.client.post(path, json=BODIES[path] | {"other": [[]] * 300})
        assert check_error(refused, 400)["code"] == "too_many_values"


@pytest.mark.parametrize(("path", "field"), [("/v1/rerank", "documents"), ("/v1/classify", "input")])
def test_the_number_of_texts_is_bounded(shared: Edge, path: str, field: str) -> None:
    refused = shared.client.post(path, json=BODIES[path] | {field: ["a"] * 33})
    assert check_error(refused, 400)["code"] == "too_many_inputs"


def test_a_segmentation_that_takes_too_long_is_given_up() -> None:
    with edge(request_timeout_seconds=0.05) as running:
        running.services.segmenter.hold = True
        check_error(running.client.post("/v1/segment", json=SEGMENT), 504)
        assert running.services.segmenter.cancelled.is_set()


@pytest.mark.parametrize("path", BODIES)
async def test_a_client_that_leaves_cancels_its_work(path: str) -> None:
    services = InstantServices()
    behind(services, path).hold = True
    app = create_app(settings(), start_services=services.start)
    body = json.dumps(BODIES[path]).encode()
    messages = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async with services.start() as running:
        scope = {
            "type": "http", "method": "POST", "path": path, "root_path": "", "headers": [], "query_string": b"",
            "state": running.as_state(),
        }  # fmt: skip
        await asyncio.wait_for(app(scope, receive, send), 10)
    assert behind(services, path).cancelled.is_set()
    assert sent == []


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b'"a"', b'{"query": "\xff"}', b'{"query": "\\ud800"}', b'{"top_n": NaN}',
     b'{"documents": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"head": ' + b"9" * 100_000 + b"}"],
)  # fmt: skip
def test_hostile_bodies(shared: Edge, path: str, body: bytes) -> None:
    answer = shared.client.post(path, content=body)
    check_error(answer, 400)
    assert len(answer.content) < 2000


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("a\u00e4 ", max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["text", "type", "image", "a"]), inner, max_size=3)
    ),
    max_leaves=10,
)
FIELDS = (
    "query", "documents", "texts", "passages", "top_n", "top_k", "return_documents", "max_doc_length", "truncation",
    "return_embeddings", "model", "input", "labels", "classifier_id", "task", "truncate", "content", "tokenizer",
    "return_tokens", "return_chunks", "max_chunk_length", "head", "tail",
)  # fmt: skip


@hypothesis_settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    path=st.sampled_from(list(BODIES)),
    fields=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4),
    is_complete=st.booleans(),
)
def test_any_json_is_answered_200_or_a_typed_4xx(
    shared: Edge, path: str, fields: dict[str, Any], is_complete: bool
) -> None:
    answer = shared.client.post(path, json=(BODIES[path] | fields) if is_complete else fields)
    if answer.status_code != 200:
        assert answer.status_code in (400, 404)
        check_error(answer, answer.status_code)
