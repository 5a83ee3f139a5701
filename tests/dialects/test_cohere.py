"""Cohere's API inside the edge: both versions, every type of vector, images, rerank, and its errors."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway import errors
from gateway.types import Float32Array, ImageInput, Overflow, TextInput
from tests.support.edge import Edge, edge
from tests.support.instant_models import IMAGE_MODEL, RERANKER
from tests.support.instant_services import TOKENS_AN_IMAGE, expected_score, expected_vector

KEY = "key-1"
PNG = "data:image/png;base64,iVBORw=="
TYPES = ["float", "int8", "uint8", "binary", "ubinary", "base64"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    """For tests that leave the services as they are."""
    with edge(max_inputs=32) as running:
        yield running


@pytest.fixture
def own() -> Iterator[Edge]:
    with edge() as running:
        yield running


def embed(running: Edge, version: int = 2, **fields: Any) -> httpx.Response:
    body = {"model": "tiny", "input_type": "search_document", "texts": ["one", "two"]} | fields
    return running.client.post(f"/v{version}/embed", json=body)


def check_error(answer: httpx.Response, status: int) -> str:
    """Cohere's error and nothing else; returns its sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"message", "id"}
    assert body["id"] == answer.headers["x-request-id"]
    assert isinstance(body["message"], str)
    assert body["message"]
    return str(body["message"])


def vectors_of(*texts: str) -> Float32Array:
    return np.stack([expected_vector(TextInput(text)) for text in texts])


def test_the_first_api_gives_plain_vectors(shared: Edge) -> None:
    answer = embed(shared, 1)
    body = answer.json()
    assert body["response_type"] == "embeddings_floats"
    assert body["id"] == answer.headers["x-request-id"]
    assert body["texts"] == ["one", "two"]
    assert body["meta"] == {"api_version": {"version": "1"}, "billed_units": {"input_tokens": 2}}
    assert np.array_equal(np.asarray(body["embeddings"], np.float32), vectors_of("one", "two"))


@pytest.mark.parametrize(("version", "types"), [(1, ["float"]), (2, None), (2, []), (2, ["float"]), (2, ["FLOAT"])])
def test_vectors_by_type(shared: Edge, version: int, types: list[str] | None) -> None:
    body = embed(shared, version, embedding_types=types).json()
    assert body["response_type"] == "embeddings_by_type"
    assert body["meta"]["api_version"] == {"version": str(version)}
    assert np.array_equal(np.asarray(body["embeddings"]["float"], np.float32), vectors_of("one", "two"))


def test_every_type_says_the_same(shared: Edge) -> None:
    by_type = embed(shared, embedding_types=TYPES).json()["embeddings"]
    assert list(by_type) == TYPES
    vectors = vectors_of("one", "two")
    assert np.array_equal(np.asarray(by_type["float"], np.float32), vectors)
    decoded = [np.frombuffer(base64.b64decode(one, validate=True), "<f4") for one in by_type["base64"]]
    assert np.array_equal(decoded, vectors)
    bits = np.unpackbits(np.asarray(by_type["ubinary"], np.uint8), axis=1)
    assert np.array_equal(bits, vectors > 0)
    assert np.array_equal(np.asarray(by_type["binary"]) + 128, by_type["ubinary"])
    assert np.array_equal(np.asarray(by_type["int8"]) + 128, by_type["uint8"])
    scale = 127 * np.sqrt(vectors.shape[1]) / 4
    assert np.array_equal(by_type["int8"], np.clip(np.rint(vectors * np.float32(scale)), -127, 127))
    assert all(type(number) is int for row in by_type["int8"] for number in row)


def test_a_type_that_is_asked_for_twice_comes_once(shared: Edge) -> None:
    assert list(embed(shared, embedding_types=["int8", "float", "int8"]).json()["embeddings"]) == ["int8", "float"]


@pytest.mark.parametrize("types", [["double"], [1], [None], "none", {}, ["float", "bfloat16"]])
def test_unknown_types_are_refused(shared: Edge, types: Any) -> None:
    assert "float, int8, uint8, binary, ubinary, base64" in check_error(embed(shared, embedding_types=types), 400)


@pytest.mark.parametrize(
    ("truncate", "overflow"),
    [
        (None, Overflow.TRUNCATE), ("END", Overflow.TRUNCATE), ("end", Overflow.TRUNCATE), ("", Overflow.TRUNCATE),
        ("START", Overflow.TRUNCATE_START), ("NONE", Overflow.REFUSE),
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", [1, 2])
def test_what_is_cut_off(own: Edge, version: int, truncate: str | None, overflow: Overflow) -> None:
    embed(own, version, truncate=truncate)
    assert own.services.embedder.seen[0].overflow is overflow


def test_fields_reach_the_service(own: Edge) -> None:
    embed(own, output_dimension=8, input_type="search_query", priority=1)
    embed(own, input_type=None)
    seen, plain = own.services.embedder.seen
    assert (seen.model, seen.dimensions, seen.side, seen.task) == ("tiny", 8, "search_query", None)
    assert (plain.side, plain.dimensions) == (None, None)
    assert seen.texts_only


def test_a_field_that_changes_nothing_is_said_to(shared: Edge) -> None:
    body = embed(shared, max_tokens=5).json()
    assert body["meta"]["warnings"] == [
        "'max_tokens' is ignored: texts are cut to what the model reads, by 'truncate'."
    ]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"images": [PNG]}, [ImageInput(data=b"\x89PNG")]),
        ({"images": ["https://example.org/a.png"]}, [ImageInput(url="https://example.org/a.png")]),
        (
            {"inputs": [{"content": [{"type": "text", "text": "a"}]},
                        {"content": [{"type": "image_url", "image_url": {"url": PNG}}]}, {"content": "b"}]},
            [TextInput("a"), ImageInput(data=b"\x89PNG"), TextInput("b")],
        ),
    ],
)  # fmt: skip
def test_images_and_inputs(shared: Edge, fields: dict[str, Any], expected: list[Any]) -> None:
    body = embed(shared, texts=None, model=IMAGE_MODEL, input_type="image", **fields).json()
    vectors = np.stack([expected_vector(item) for item in expected])
    assert np.array_equal(np.asarray(body["embeddings"]["float"], np.float32), vectors)
    images = sum(isinstance(item, ImageInput) for item in expected)
    texts = [item.text for item in expected if isinstance(item, TextInput)]
    assert body["texts"] == texts
    assert body["meta"]["billed_units"] == {
        "input_tokens": len(texts), "image_tokens": images * TOKENS_AN_IMAGE, "images": images
    }  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"texts": None}, {"texts": []}, {"texts": "one"}, {"texts": [1]}, {"texts": [[1]]}, {"texts": ["a"] * 33},
        {"images": [PNG]}, {"texts": None, "images": PNG}, {"texts": None, "images": [1]},
        {"texts": None, "images": [PNG] * 33}, {"texts": None, "images": [PNG]},
        {"texts": None, "images": ["data:image/png;base64,!"]},
        {"texts": None, "inputs": ["a"]}, {"texts": None, "inputs": [{}]}, {"texts": None, "inputs": [{"content": []}]},
        {"texts": None, "inputs": [{"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]},
        {"truncate": "MIDDLE"}, {"truncate": True}, {"output_dimension": 0}, {"output_dimension": "8"},
        {"output_dimension": 10_000}, {"model": 1}, {"input_type": 1},
    ],
)  # fmt: skip
@pytest.mark.parametrize("version", [1, 2])
def test_what_cannot_be_read_is_refused(shared: Edge, version: int, fields: dict[str, Any]) -> None:
    check_error(embed(shared, version, **fields), 400)


def test_the_second_rerank_repeats_no_documents_unless_asked(shared: Edge) -> None:
    fields = {"model": RERANKER, "query": "q", "documents": ["a", {"text": "b"}, "c"]}
    answer = shared.client.post("/v2/rerank", json=fields)
    body = answer.json()
    assert set(body) == {"id", "results", "meta"}
    assert body["meta"] == {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    scores = {number: round(float(expected_score("q", text)), 8) for number, text in enumerate("abc")}
    assert body["results"] == [
        {"index": number, "relevance_score": score} for number, score in sorted(scores.items(), key=lambda one: -one[1])
    ]
    echoed = shared.client.post("/v2/rerank", json=fields | {"return_documents": True, "top_n": 1}).json()["results"]
    assert echoed == [body["results"][0] | {"document": {"text": "abc"[body["results"][0]["index"]]}}]


def test_the_first_rerank_is_everybodys(shared: Edge) -> None:
    fields = {"query": "q", "documents": [{"title": "a", "year": 1, "id": 7}, "c"], "rank_fields": ["title", "year"]}
    body = shared.client.post("/v1/rerank", json=fields).json()
    assert body["meta"] == {"api_version": {"version": "1"}, "billed_units": {"search_units": 1}}
    assert {"id", "results", "usage"} <= set(body)
    scores = {row["index"]: row["relevance_score"] for row in body["results"]}
    assert scores[0] == round(float(expected_score("q", "a\n1")), 8)
    refused = shared.client.post("/v1/rerank", json=fields | {"rank_fields": "title"})
    assert refused.status_code == 400
    assert refused.json()["message"] == refused.json()["error"]["message"]


@pytest.mark.parametrize("sdk", ["cohere", "cohere-ai", "github.com/cohere-ai/cohere-go/v2"])
def test_coheres_own_clients_get_the_documents_of_the_first_rerank_as_they_read_them(shared: Edge, sdk: str) -> None:
    headers = {"x-fern-sdk-name": sdk}
    fields: dict[str, Any] = {"query": "q", "documents": ["a", {"text": "b", "id": 7}]}
    plain = shared.client.post("/v1/rerank", json=fields, headers=headers).json()["results"]
    assert all(set(row) == {"index", "relevance_score"} for row in plain)
    echoed = shared.client.post("/v1/rerank", json=fields | {"return_documents": True}, headers=headers).json()
    documents = {row["index"]: row["document"] for row in echoed["results"]}
    assert documents == {0: {"text": "a"}, 1: {"text": "b", "id": 7}}


@pytest.mark.parametrize("path", ["/v2/rerank", "/v2/embed", "/v1/embed"])
@pytest.mark.parametrize("before", ["", "/v1"])
@pytest.mark.parametrize("end", ["", "/"])
def test_every_spelling_of_the_path_answers_without_a_redirect(shared: Edge, path: str, before: str, end: str) -> None:
    body = {"texts": ["a"], "query": "q", "documents": ["a"]}
    assert shared.client.post(before + path + end, json=body, follow_redirects=False).status_code == 200


def test_tokens_there_and_back(shared: Edge) -> None:
    body = shared.client.post("/v1/tokenize", json={"text": "one three", "model": "tiny"}).json()
    assert (body["tokens"], body["token_strings"]) == ([103, 105], ["one", "three"])
    back = shared.client.post("/v1/detokenize", json={"tokens": [101, 102], "model": "tiny"}).json()
    assert back == {"text": "w ww", "meta": {"api_version": {"version": "1"}, "billed_units": {}}}
    check_error(shared.client.post("/v1/tokenize", json={"text": ["a"]}), 400)
    for tokens in (None, 1, ["a"], [True], [5000]):
        check_error(shared.client.post("/v1/detokenize", json={"tokens": tokens}), 400)
    check_error(shared.client.post("/v1/tokenize", json={"text": "a", "model": "none"}), 404)


def test_models_as_cohere_lists_them(shared: Edge) -> None:
    body = shared.client.get("/v1/models").json()
    assert body["models"] == body["data"]
    rerankers = shared.client.get("/v1/models", params={"endpoint": "rerank"}).json()
    assert [model["name"] for model in rerankers["models"]] == [RERANKER]
    assert len(rerankers["data"]) == len(body["data"]), "OpenAI's list has no such filter"
    model = shared.client.get("/v1/models/tiny").json()
    assert (model["name"], model["endpoints"], model["context_length"]) == ("tiny", ["embed"], 256)


FAILURES = [
    (errors.Overloaded("full", retry_after_seconds=3), 429),
    (errors.EngineUnavailable("away"), 503),
    (errors.DeadlineExceeded("late"), 504),
    (errors.InferenceFailed("failed"), 500),
    (errors.TokenLimitExceeded("too long", param="input"), 400),
    (ValueError("a defect"), 500),
]


@pytest.mark.parametrize(("error", "status"), FAILURES, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("version", [1, 2])
def test_failures(own: Edge, version: int, error: Exception, status: int) -> None:
    own.services.embedder.error = error
    answer = embed(own, version)
    check_error(answer, status)
    assert ("retry-after" in answer.headers) == (status in (429, 503))


def test_unknown_models_and_paths(shared: Edge) -> None:
    for version in (1, 2):
        check_error(embed(shared, version, model="none"), 404)
        check_error(shared.client.get(f"/v{version}/embed"), 405)
    check_error(shared.client.post("/v2/chat", json={}), 404)
    check_error(shared.client.post("/v2/rerank", json={"query": "q", "documents": ["a"], "model": "tiny"}), 400)


def test_keys_and_bodies() -> None:
    with edge(api_keys=(KEY,), max_body_bytes=1000) as running:
        for path in ("/v1/embed", "/v2/embed", "/v2/rerank", "/v1/check-api-key"):
            check_error(running.client.post(path, json={}), 401)
        running.client.headers["authorization"] = f"Bearer {KEY}"
        assert running.client.post("/v1/check-api-key").json() == {"valid": True}
        check_error(embed(running, other="x" * 2000), 413)
        for body in (b"", b"[]", b"{", b'{"texts": ["\\ud800"]}'):
            check_error(running.client.post("/v2/embed", content=body), 400)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["content", "text", "type"]), inner, max_size=2)
    ),
    max_leaves=8,
)
FIELDS = (
    "model", "texts", "images", "inputs", "input_type", "embedding_types", "truncate", "output_dimension", "query",
    "documents", "top_n", "rank_fields", "return_documents", "max_tokens_per_doc",
)  # fmt: skip
PATHS = ("/v1/embed", "/v2/embed", "/v2/rerank")


@hypothesis_settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(PATHS), fields=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=5))
def test_any_json_is_answered_or_refused_in_coheres_words(shared: Edge, path: str, fields: dict[str, Any]) -> None:
    answer = shared.client.post(path, json=fields)
    if answer.status_code != 200:
        assert answer.status_code in (400, 404)
        check_error(answer, answer.status_code)
