"""Gemini's API inside the edge: its shapes, the forms of contents and tasks, batches of several kinds, keys, errors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway import errors
from gateway.dialects.gemini import takes_key_in_query
from gateway.types import EmbedRequest, ImageInput, Overflow, TextInput
from tests.support.edge import Edge, edge
from tests.support.instant_models import IMAGE_MODEL
from tests.support.instant_services import expected_vector

VERSIONS = ["/v1beta", "/v1", "/v1alpha", "/v1beta1", "", "/v1/v1beta"]
DATA = "iVBORw0KGgo="  # the first eight bytes of any PNG


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    with edge(max_inputs=8) as running:
        yield running


@pytest.fixture
def own() -> Iterator[Edge]:
    with edge() as running:
        yield running


@pytest.fixture(scope="module")
def guarded() -> Iterator[Edge]:
    with edge(api_keys=("right",)) as running:
        yield running


def content(text: str) -> dict[str, Any]:
    return {"parts": [{"text": text}]}


def embed(running: Edge, path: str = "/v1beta/models/tiny:embedContent", **fields: Any) -> httpx.Response:
    return running.client.post(path, json=fields)


def batch(running: Edge, *requests: Any, model: str = "tiny") -> httpx.Response:
    return running.client.post(f"/v1beta/models/{model}:batchEmbedContents", json={"requests": list(requests)})


def seen(running: Edge) -> EmbedRequest:
    return running.services.embedder.seen[-1]


def check_error(answer: httpx.Response, status: int, word: str) -> dict[str, Any]:
    """Google's error; returns its inner object."""
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert list(answer.json()) == ["error"]
    assert set(error) == {"code", "message", "status", "details"}
    assert (error["code"], error["status"]) == (status, word)
    return error


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("end", ["", "/"])
def test_one_content_gives_one_list_of_values(shared: Edge, version: str, end: str) -> None:
    answer = embed(shared, f"{version}/models/tiny:embedContent{end}", content=content("a harbour"))
    assert answer.status_code == 200
    assert answer.json()["usageMetadata"] == {"promptTokenCount": 1}
    assert np.float32(answer.json()["embedding"]["values"]).tolist() == expected_vector(TextInput("a harbour")).tolist()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_batch_gives_a_list_of_values_for_each_request(shared: Edge, version: str) -> None:
    texts = ["one", "two", ""]
    requests = [{"model": "models/tiny", "content": content(text)} for text in texts]
    answer = shared.client.post(f"{version}/models/tiny:batchEmbedContents", json={"requests": requests})
    assert list(answer.json()) == ["embeddings", "usageMetadata"]
    rows = [np.float32(row["values"]).tolist() for row in answer.json()["embeddings"]]
    assert rows == [expected_vector(TextInput(text)).tolist() for text in texts]
    assert answer.json()["usageMetadata"] == {"promptTokenCount": 3}


@pytest.mark.parametrize(
    "given",
    [
        {"parts": [{"text": "a"}]}, {"parts": [{"text": "a"}], "role": "user"}, {"parts": {"text": "a"}}, "a",
        {"parts": ["a"]}, {"parts": [{"text": "a", "thought": False, "inlineData": None}]},
    ],
)  # fmt: skip
def test_the_forms_of_a_text(shared: Edge, given: Any) -> None:
    assert embed(shared, content=given).status_code == 200
    assert seen(shared).inputs == [TextInput("a")]
    assert seen(shared).texts_only


@pytest.mark.parametrize(
    ("part", "image"),
    [
        ({"inlineData": {"mimeType": "image/png", "data": DATA}}, ImageInput(data=b"\x89PNG\r\n\x1a\n")),
        ({"inline_data": {"mime_type": "IMAGE/PNG", "data": DATA}}, ImageInput(data=b"\x89PNG\r\n\x1a\n")),
        ({"inlineData": {"data": DATA}}, ImageInput(data=b"\x89PNG\r\n\x1a\n")),
        ({"inlineData": {"mimeType": "image/webp", "data": "-_-_"}}, ImageInput(data=b"\xfb\xff\xbf")),
        ({"fileData": {"fileUri": "https://example.org/a.png"}}, ImageInput(url="https://example.org/a.png")),
        ({"file_data": {"file_uri": "https://example.org/a.png"}}, ImageInput(url="https://example.org/a.png")),
    ],
)
def test_the_forms_of_an_image(shared: Edge, part: dict[str, Any], image: ImageInput) -> None:
    """Google's client for Python writes bytes in the alphabet for addresses."""
    answer = embed(shared, f"/v1beta/models/{IMAGE_MODEL}:embedContent", content={"parts": [part]})
    assert answer.status_code == 200, answer.text
    assert seen(shared).inputs == [image]
    assert not seen(shared).texts_only


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ({"inlineData": {"mimeType": "application/pdf", "data": DATA}}, "PDF"),
        ({"inlineData": {"mimeType": "audio/mp3", "data": DATA}}, "audio"),
        ({"inlineData": {"mimeType": "video/mp4", "data": DATA}}, "video"),
        ({"text": "a", "inlineData": {"mimeType": "image/png", "data": DATA}}, "both"),
        ({"functionCall": {}}, "inlineData"),
        ({"inlineData": "x"}, "object"),
        ({"text": 1}, "string"),
    ],
)
def test_what_is_no_text_and_no_image_is_refused_in_words(shared: Edge, part: dict[str, Any], word: str) -> None:
    error = check_error(embed(shared, content={"parts": [part]}), 400, "INVALID_ARGUMENT")
    assert word in error["message"]


def test_parts_are_never_merged_into_one_vector(shared: Edge) -> None:
    before = len(shared.services.embedder.seen)
    answer = embed(shared, content={"parts": [{"text": "a"}, {"text": "b"}]})
    assert "vector of its own" in check_error(answer, 400, "INVALID_ARGUMENT")["message"]
    assert len(shared.services.embedder.seen) == before


TASKS = [
    "TASK_TYPE_UNSPECIFIED", "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION",
    "CLUSTERING", "QUESTION_ANSWERING", "FACT_VERIFICATION", "CODE_RETRIEVAL_QUERY",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(TASKS)))
@pytest.mark.parametrize("name", ["taskType", "task_type"])
def test_a_task_is_a_side_that_the_card_reads_by_name_or_number(shared: Edge, name: str, number: int) -> None:
    """As a side, so that a model which lacks the task takes the next best one: every model of Google's has them all."""
    for task in (TASKS[number], number):
        assert embed(shared, content=content("a"), **{name: task}).status_code == 200
        assert (seen(shared).side, seen(shared).task) == (TASKS[number], None)


def test_options_in_either_spelling_and_nested(shared: Edge) -> None:
    plain = {"outputDimensionality": 32, "autoTruncate": False, "taskType": "CLUSTERING"}
    snake = {"output_dimensionality": 32, "auto_truncate": False, "task_type": "CLUSTERING"}
    for fields in (plain, snake, {"embedContentConfig": plain}, {"embed_content_config": snake, "taskType": None}):
        answer = embed(shared, content=content("a"), **fields)
        assert len(answer.json()["embedding"]["values"]) == 32
        assert (seen(shared).side, seen(shared).overflow) == ("CLUSTERING", Overflow.REFUSE)
    embed(shared, content=content("a"))
    assert (seen(shared).dimensions, seen(shared).overflow) == (None, Overflow.TRUNCATE)


def test_requests_of_a_batch_keep_their_own_options_and_their_place(own: Edge) -> None:
    sides = ["RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "RETRIEVAL_QUERY"]
    sizes = [32, None, 64]
    requests = [
        {"content": content(str(index)), "taskType": side, "outputDimensionality": size}
        for index, (side, size) in enumerate(zip(sides, sizes, strict=True))
    ]
    rows = batch(own, *requests).json()["embeddings"]
    expected = [expected_vector(TextInput(str(index)), size or 384).tolist() for index, size in enumerate(sizes)]
    assert [np.float32(row["values"]).tolist() for row in rows] == expected
    assert {(one.side, one.dimensions) for one in own.services.embedder.seen} == set(zip(sides, sizes, strict=True))


def test_requests_of_a_batch_with_the_same_options_share_a_call(own: Edge) -> None:
    batch(own, *({"content": content(str(index)), "taskType": "CLUSTERING"} for index in range(20)))
    assert len(own.services.embedder.seen) == 1


@hypothesis_settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=8), min_size=1, max_size=8), picks=st.lists(st.integers(0, 2), min_size=8))
def test_each_row_is_that_of_its_own_text_whatever_stands_beside_it(
    shared: Edge, texts: list[str], picks: list[int]
) -> None:
    requests = [{"content": content(text), "taskType": pick} for text, pick in zip(texts, picks, strict=False)]
    rows = batch(shared, *requests).json()["embeddings"]
    assert [np.float32(row["values"]).tolist() for row in rows] == [
        expected_vector(TextInput(text)).tolist() for text in texts
    ]


def test_a_title_is_ignored_and_that_is_said(shared: Edge) -> None:
    answer = embed(shared, content=content("a"), title="T", taskType="RETRIEVAL_DOCUMENT")
    assert "title" in answer.headers["x-gateway-warning"]


@pytest.mark.parametrize("name", ["models/tiny", "tiny", "models/TINY", None, ""])
def test_the_model_may_be_repeated(shared: Edge, name: str | None) -> None:
    assert embed(shared, model=name, content=content("a")).status_code == 200


def test_another_model_than_the_addresses_is_refused(shared: Edge) -> None:
    assert (
        "address"
        in check_error(embed(shared, model="models/b", content=content("a")), 400, "INVALID_ARGUMENT")["message"]
    )
    answer = batch(shared, {"content": content("a")}, {"model": "models/b", "content": content("a")})
    assert "requests[1].model" in check_error(answer, 400, "INVALID_ARGUMENT")["message"]


@pytest.mark.parametrize(
    "name", ["acme/Tiny-Model", "acme%2FTiny-Model", "text-embedding-tiny", "models/tiny", "tiny:latest"]
)
def test_models_go_by_all_their_names(shared: Edge, name: str) -> None:
    assert embed(shared, f"/v1beta/models/{name}:embedContent", content=content("a")).status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "content"), ({"content": None}, "content"), ({"content": {"parts": []}}, "content"),
        ({"content": {}}, "content"), ({"content": 1}, "content"), ({"content": {"parts": [1]}}, "content"),
        ({"content": "a", "taskType": 9}, "taskType"), ({"content": "a", "taskType": -1}, "taskType"),
        ({"content": "a", "outputDimensionality": "x"}, "outputDimensionality"),
        ({"content": "a", "autoTruncate": 1}, "autoTruncate"), ({"content": "a", "model": 1}, "model"),
        ({"content": "a", "embedContentConfig": []}, "embedContentConfig"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_among_the_details(shared: Edge, fields: dict[str, Any], param: str) -> None:
    error = check_error(embed(shared, **fields), 400, "INVALID_ARGUMENT")
    assert error["details"][-1]["@type"] == "type.googleapis.com/google.rpc.BadRequest"
    assert error["details"][-1]["fieldViolations"] == [{"field": param, "description": error["message"]}]


@pytest.mark.parametrize("requests", [None, [], [1], {}, [{"content": content("a")}] * 9])
def test_a_batch_is_a_list_of_so_many_objects(shared: Edge, requests: Any) -> None:
    answer = shared.client.post("/v1beta/models/tiny:batchEmbedContents", json={"requests": requests})
    check_error(answer, 400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("raised", "status", "word"),
    [
        (errors.TokenLimitExceeded("Too long.", param="input"), 400, "INVALID_ARGUMENT"),
        (errors.UnknownModel("None."), 404, "NOT_FOUND"),
        (errors.Overloaded("Busy.", retry_after_seconds=3), 429, "RESOURCE_EXHAUSTED"),
        (errors.EngineUnavailable("Away."), 503, "UNAVAILABLE"),
        (errors.DeadlineExceeded("Late."), 504, "DEADLINE_EXCEEDED"),
        (errors.InferenceFailed("No."), 500, "INTERNAL"),
        (RuntimeError("SECRET"), 500, "INTERNAL"),
    ],
)
@pytest.mark.parametrize("version", ["/v1beta", "/v1"])
def test_googles_words_for_what_goes_wrong(own: Edge, raised: Exception, status: int, word: str, version: str) -> None:
    """Under `/v1` too, where OpenAI's models are."""
    own.services.embedder.error = raised
    answer = embed(own, f"{version}/models/tiny:embedContent", content=content("a"))
    error = check_error(answer, status, word)
    assert "SECRET" not in answer.text
    kinds = {one["@type"].rpartition(".")[2]: one for one in error["details"]}
    assert kinds["RequestInfo"]["requestId"] == answer.headers["x-request-id"]
    assert kinds["ErrorInfo"]["reason"] == getattr(raised, "code", "internal_error").upper()
    if status in (429, 503):
        assert kinds["RetryInfo"]["retryDelay"] == f"{answer.headers['retry-after']}s"


def test_what_nobody_serves_below_googles_versions_is_told_in_googles_words(shared: Edge) -> None:
    check_error(shared.client.post("/v1beta/models/tiny:generateContent", json={}), 405, "UNIMPLEMENTED")
    check_error(shared.client.post("/v1beta/files", json={}), 404, "NOT_FOUND")


def test_a_body_that_is_no_object_is_told_in_googles_words(shared: Edge) -> None:
    check_error(shared.client.post("/v1/models/tiny:embedContent", content=b"["), 400, "INVALID_ARGUMENT")


@pytest.mark.parametrize("version", ["/v1beta", "/v1"])
def test_keys_in_googles_header_or_query(guarded: Edge, version: str) -> None:
    path = f"{version}/models/tiny:embedContent"
    body = {"content": content("a")}
    assert guarded.client.post(path, json=body, headers={"x-goog-api-key": "right"}).status_code == 200
    assert guarded.client.post(f"{path}?key=right", json=body).status_code == 200
    assert guarded.client.post(path, json=body, headers={"authorization": "Bearer right"}).status_code == 200
    check_error(guarded.client.post(path, json=body), 401, "UNAUTHENTICATED")
    check_error(guarded.client.post(f"{path}?key=wrong", json=body), 401, "UNAUTHENTICATED")
    assert guarded.client.post("/v1/embeddings?key=right", json={"input": "a"}).status_code == 401
    assert guarded.client.get("/v1/models/tiny?key=right").status_code == 401


@pytest.mark.parametrize(
    ("path", "takes"),
    [
        ("/v1beta/models", True), ("/v1beta/models/a:embedContent", True), ("/v1/models/a/b:batchEmbedContents/", True),
        ("/models/a:countTokens", True), ("/v1/models/a", False), ("/v1/embeddings", False), ("/api/tags", False),
    ],
)  # fmt: skip
def test_only_googles_own_paths_take_a_key_in_the_query(path: str, takes: bool) -> None:
    assert takes_key_in_query(path) is takes


def test_the_models_are_listed_as_google_does(shared: Edge) -> None:
    answer = shared.client.get("/v1beta/models?pageSize=1").json()
    assert [model["name"] for model in answer["models"]] == ["models/tiny", f"models/{IMAGE_MODEL}"]
    assert answer["models"][0] == {
        "name": "models/tiny",
        "baseModelId": "tiny",
        "version": "1",
        "displayName": "tiny",
        "description": "A card for tests.",
        "inputTokenLimit": 256,
        "outputTokenLimit": 1,
        "supportedGenerationMethods": ["embedContent", "batchEmbedContents", "countTokens"],
    }
    one = shared.client.get("/v1beta/models/acme/Tiny-Model").json()
    assert one == answer["models"][0]
    check_error(shared.client.get("/v1beta/models/none"), 404, "NOT_FOUND")


def test_googles_own_clients_get_googles_list_where_openais_is(shared: Edge) -> None:
    """Their default version is `/v1` since google-genai 3."""
    header = {"x-goog-api-client": "google-genai-sdk/3.3.0 gl-python/3.11"}
    for path in ("/v1/models", "/v1/models/tiny"):
        theirs = shared.client.get(path, headers=header).json()
        assert theirs == shared.client.get(path.replace("v1", "v1beta")).json()
        assert shared.client.get(path).json()["object"] in ("list", "model")
    check_error(shared.client.get("/v1/models/none", headers=header), 404, "NOT_FOUND")


def test_tokens_are_counted(shared: Edge) -> None:
    contents = [content("one two"), {"parts": [{"text": "three "}, {"text": "four"}]}]
    for body in ({"contents": contents}, {"generateContentRequest": {"contents": contents}}):
        answer = shared.client.post("/v1beta/models/tiny:countTokens", json=body)
        assert answer.json() == {"totalTokens": 8}  # two around each
    assert shared.client.post("/v1beta/models/tiny:countTokens", json={"contents": content("a")}).status_code == 200
    image = {"contents": [{"parts": [{"inlineData": {"data": DATA}}]}]}
    check_error(shared.client.post("/v1beta/models/tiny:countTokens", json=image), 400, "INVALID_ARGUMENT")


def test_who_asks_that_nothing_is_kept_is_heard(shared: Edge) -> None:
    path = "/v1beta/models/tiny:embedContent"
    shared.client.post(path, json={"content": content("a")}, headers={"cache-control": "no-store"})
    assert not seen(shared).may_keep
