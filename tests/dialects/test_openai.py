"""The OpenAI routes end to end inside the edge: spellings of the path, models pages, errors, hostile bodies."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway import errors
from gateway.types import ImageInput, Overflow, TextInput, TokenInput, Vocabulary
from tests.support.captured_log import captured_log
from tests.support.edge import Edge, check_error, edge
from tests.support.instant_models import IMAGE_MODEL
from tests.support.instant_services import TOKENS_AN_IMAGE, expected_token_vectors, expected_tokens, expected_vector


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    """For tests that leave the services as they are."""
    with edge(max_inputs=32) as running:
        yield running


@pytest.fixture
def own() -> Iterator[Edge]:
    with edge() as running:
        yield running


def test_vectors_come_in_input_order(shared: Edge) -> None:
    texts = [f"text {index}" for index in range(20)]
    answer = shared.embed(input=texts).json()
    assert [item["index"] for item in answer["data"]] == list(range(20))
    for text, item in zip(texts, answer["data"], strict=True):
        assert np.array_equal(np.asarray(item["embedding"], np.float32), expected_vector(TextInput(text)))


def test_base64_is_little_endian_float32(shared: Edge) -> None:
    answer = shared.embed(encoding_format="BASE64").json()
    raw = base64.b64decode(answer["data"][0]["embedding"], validate=True)
    assert np.array_equal(np.frombuffer(raw, "<f4"), expected_vector(TextInput("a text")))


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings", "/v1/v1/embeddings"])
@pytest.mark.parametrize("end", ["", "/"])
def test_every_spelling_of_the_path_answers_without_a_redirect(shared: Edge, path: str, end: str) -> None:
    answer = shared.client.post(path + end, json={"input": "a"}, follow_redirects=False)
    assert answer.status_code == 200


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "nonsense", None])
def test_json_is_read_whatever_the_content_type(shared: Edge, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    assert shared.client.post("/v1/embeddings", content=b'{"input":"a"}', headers=headers).status_code == 200


def test_images_and_texts_have_their_vectors_in_input_order(shared: Edge) -> None:
    given = ["a", {"image": "iVBORw"}, {"text": "b"}, {"url": "https://example.org/a.png"}]
    answer = shared.embed(model=IMAGE_MODEL, input=given).json()
    meant = (TextInput("a"), ImageInput(data=b"\x89PNG"), TextInput("b"), ImageInput(url="https://example.org/a.png"))
    for item, expected in zip(answer["data"], meant, strict=True):
        assert np.array_equal(np.asarray(item["embedding"], np.float32), expected_vector(expected))
    tokens = 2 + 2 * TOKENS_AN_IMAGE
    assert answer["usage"] == {
        "prompt_tokens": tokens,
        "total_tokens": tokens,
        "image_tokens": 2 * TOKENS_AN_IMAGE,
    }
    assert "image_tokens" not in shared.embed(model=IMAGE_MODEL).json()["usage"]


def test_a_vector_a_token(shared: Edge) -> None:
    fields = {"return_multivector": True, "return_tokenized_input": True}
    answer = shared.embed(model=IMAGE_MODEL, input=["one two", {"bytes": "iVBORw"}], **fields).json()
    for item, meant in zip(answer["data"], (TextInput("one two"), ImageInput(data=b"\x89PNG")), strict=True):
        assert np.array_equal(np.asarray(item["embeddings"], np.float32), expected_token_vectors(meant))
        assert item["tokenized_input"] == list(expected_tokens(meant))


def test_a_model_that_lacks_what_was_asked_for_refuses(shared: Edge) -> None:
    error = check_error(shared.embed(input=[{"image": "iVBORw"}]), 400)
    assert (error["code"], error["param"]) == ("unsupported_modality", "input")
    assert check_error(shared.embed(return_multivector=True), 400)["param"] == "return_multivector"


def test_the_log_line_counts_inputs_whatever_was_asked_for_them(own: Edge) -> None:
    with captured_log() as log:
        own.embed(model=IMAGE_MODEL, input=["a", "b", "c"], return_multivector=True)
    [line] = map(json.loads, log.getvalue().splitlines())
    assert line["inputs"] == 3


def test_an_image_is_bounded_by_the_setting_before_it_is_decoded() -> None:
    with edge(max_image_bytes=1024) as running:
        largest = base64.b64encode(bytes(1024)).decode()
        assert running.embed(model=IMAGE_MODEL, input={"image": largest}).status_code == 200
        error = check_error(running.embed(model=IMAGE_MODEL, input=["a", {"image": "!" * 1368}]), 400)
        assert (error["code"], error["param"]) == ("invalid_image", "input")
        assert error["message"].startswith("'input[1]' is an image of more than 1024 bytes")


def test_fields_reach_the_service(own: Edge) -> None:
    own.embed(input=[[1, 2]], model="acme/tiny-model", dimensions=8, truncate=True, token_vocabulary="model")
    seen = own.services.embedder.seen[0]
    assert seen.inputs == (TokenInput((1, 2), Vocabulary.MODEL),)
    assert (seen.model, seen.dimensions, seen.overflow) == ("acme/tiny-model", 8, Overflow.TRUNCATE)


def test_the_vocabulary_header_reaches_the_service(own: Edge) -> None:
    own.client.post("/v1/embeddings", json={"input": [1]}, headers={"X-Token-Vocabulary": "model"})
    assert own.services.embedder.seen[0].inputs == (TokenInput((1,), Vocabulary.MODEL),)


def test_nulls_mean_not_given(own: Edge) -> None:
    names = ("model", "dimensions", "encoding_format", "truncate", "truncation", "token_vocabulary", "user")
    assert own.embed(**dict.fromkeys(names)).status_code == 200
    seen = own.services.embedder.seen[0]
    assert (seen.model, seen.dimensions, seen.overflow) == (None, None, Overflow.REFUSE)


def test_warnings_become_headers(own: Edge) -> None:
    own.services.embedder.warnings = ("64 is no Matryoshka size", "line\r\nbreak: ä")
    answer = own.embed()
    assert answer.headers.get_list("x-gateway-warning") == ["64 is no Matryoshka size", "line??break: ?"]


def test_answers_carry_id_time_and_version(shared: Edge) -> None:
    headers = shared.embed().headers
    assert int(headers["openai-processing-ms"]) >= 0
    assert headers["openai-version"] == "2020-10-01"
    assert headers["x-request-id"]


@pytest.mark.parametrize("path", ["/v1/models", "/models", "/v1/models/", "/v1/v1/models"])
def test_models(shared: Edge, path: str) -> None:
    answer = shared.client.get(path).json()
    assert answer["object"] == "list"
    assert [model["id"] for model in answer["data"]] == ["tiny", "tiny-reranker", "tiny-images"]
    assert answer["data"][0] == shared.client.get("/v1/models/tiny").json()


@pytest.mark.parametrize(
    "name", ["tiny", "TINY", "acme/Tiny-Model", "acme%2FTiny-Model", "ACME/tiny-model/", "Text-Embedding-Tiny"]
)
def test_one_model_by_any_of_its_names(shared: Edge, name: str) -> None:
    assert shared.client.get(f"/v1/models/{name}").json()["id"] == "tiny"


def test_unknown_models(shared: Edge) -> None:
    for answer in (shared.client.get("/v1/models/other"), shared.embed(model="other")):
        error = check_error(answer, 404)
        assert (error["code"], error["param"], error["type"]) == ("model_not_found", "model", "invalid_request_error")
        assert "tiny" in error["message"]


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/tiny", "/", "/live", "/ready", "/health", "/metrics", "/docs"]
)
def test_head_is_get_without_a_body(shared: Edge, path: str) -> None:
    head, full = shared.client.head(path), shared.client.get(path)
    assert (head.status_code, head.content) == (full.status_code, b"")
    assert head.headers["content-type"] == full.headers["content-type"]


RAISED: list[tuple[Exception, int, str, str]] = [
    (errors.InvalidField("m", param="dimensions"), 400, "invalid_request_error", "invalid_value"),
    (errors.TokenLimitExceeded("m", param="input"), 400, "invalid_request_error", "context_length_exceeded"),
    (errors.InvalidImage("m", param="input"), 400, "invalid_request_error", "invalid_image"),
    (errors.UnknownModel("m"), 404, "invalid_request_error", "model_not_found"),
    (errors.Overloaded("m", retry_after_seconds=3), 429, "rate_limit_error", "overloaded"),
    (errors.EngineUnavailable("m", retry_after_seconds=3), 503, "server_error", "engine_unavailable"),
    (errors.DeviceOutOfMemory("m", retry_after_seconds=3), 503, "server_error", "device_out_of_memory"),
    (errors.DeadlineExceeded("m"), 504, "server_error", "deadline_exceeded"),
    (errors.InferenceFailed("m"), 500, "server_error", "inference_failed"),
    (errors.InvalidVector("m"), 500, "server_error", "embedding_invalid"),
    (RuntimeError("secret"), 500, "server_error", "internal_error"),
]


@pytest.mark.parametrize(("raised", "status", "kind", "code"), RAISED)
def test_errors_of_the_service(own: Edge, raised: Exception, status: int, kind: str, code: str) -> None:
    own.services.embedder.error = raised
    answer = own.embed()
    error = check_error(answer, status)
    assert (error["type"], error["code"]) == (kind, code)
    assert "secret" not in answer.text
    if status in (429, 503):
        assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("3", "3000")


@pytest.mark.parametrize(
    ("method", "path", "allow"), [("GET", "/v1/embeddings", "POST"), ("DELETE", "/v1/models", "GET")]
)
def test_wrong_method(shared: Edge, method: str, path: str, allow: str) -> None:
    answer = shared.client.request(method, path)
    assert check_error(answer, 405)["code"] == "method_not_allowed"
    assert allow in answer.headers["allow"]


@pytest.mark.parametrize("path", ["/nope", "/v1", "/v1/embeddings/x", "/v3/embeddings", "/v1/train"])
def test_unknown_paths(shared: Edge, path: str) -> None:
    assert check_error(shared.client.post("http://testserver" + path, json={"input": "a"}), 404)["code"] == "not_found"


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "not an object": b"[]",
    "NaN": b'{"input": "a", "dimensions": NaN}',
    "invalid UTF-8": b'{"input": "\xff"}',
    "lone surrogate": b'{"input": "\\ud83d"}',
    "deep": b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "half deep": b'{"input": ' + b"[" * 500 + b"]" * 500 + b"}",
    "byte order mark": b'\xef\xbb\xbf{"input": "a"}',
    "a number of a million digits": b'{"input": "a", "dimensions": ' + b"9" * 1_000_000 + b"}",
    "an id of a million digits": b'{"input": [' + b"9" * 1_000_000 + b"]}",
    "a long fraction": b'{"input": [0.' + b"1" * 1_000_000 + b"]}",
    "a large exponent": b'{"input": "a", "dimensions": 1e999999}',
    "a million inputs": json.dumps({"input": ["a"] * 1_000_000}).encode(),
    "a million empty lists": b'{"input": [' + b"[]," * 1_000_000 + b"[]]}",
    "a million token ids outside": json.dumps({"input": [-1] * 1_000_000}).encode(),
    "too many inputs": json.dumps({"input": ["a"] * 33}).encode(),
    "duplicate keys, the last one wrong": b'{"input": "a", "input": 1}',
    "dimensions 2^63": b'{"input": "a", "dimensions": 9223372036854775808}',
    "dimensions 2^64": b'{"input": "a", "dimensions": 18446744073709551616}',
    "dimensions above native": b'{"input": "a", "dimensions": 385}',
    "token id 2^63": b'{"input": [9223372036854775808]}',
    "prototype": b'{"__proto__": {"input": "a"}}',
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bodies(shared: Edge, body: bytes) -> None:
    answer = shared.client.post("/v1/embeddings", content=body)
    assert check_error(answer, 400)["type"] == "invalid_request_error"
    assert len(answer.content) < 2000


@pytest.mark.parametrize(
    "body",
    [
        b'{"input": 1, "input": "a"}',
        b'{"input": "a", "' + b"k" * 1_000_000 + b'": 1}',
        '{"input": "\\u0000 \\u202e \\ufeff \\ufdfa\U0001f469‍\U0001f4bb"}'.encode(),
        b'{"input": "' + b"a" * 1_000_000 + b'"}',
        b'\n\t {"input":"a"} \r\n',
    ],
)
def test_odd_but_valid_bodies(shared: Edge, body: bytes) -> None:
    assert shared.client.post("/v1/embeddings", content=body).status_code == 200


ITEM_KEYS = ["text", "type", "image", "url", "image_url", "bytes", "image_base64", "value", "content", "pdf", "a"]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["float", "base64", "binary", "ubinary", IMAGE_MODEL, "iVBORw", "https://h/a.png"])
    | st.text("a\u00e4", max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(ITEM_KEYS), inner, max_size=3),
    max_leaves=10,
)
FIELDS = (
    "input", "content", "texts", "model", "task", "task_type", "input_type", "prompt_name", "dimensions",
    "output_dimension", "encoding_format", "embedding_type", "embedding_types", "truncate", "truncation", "normalized",
    "late_chunking", "return_multivector", "return_tokenized_input", "token_vocabulary", "user", "other",
)  # fmt: skip


@hypothesis_settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(body=st.dictionaries(st.sampled_from(FIELDS), json_values) | json_values, has_input=st.booleans())
def test_any_json_is_answered_200_or_a_typed_4xx(shared: Edge, body: Any, has_input: bool) -> None:
    if has_input and isinstance(body, dict):
        body = {"input": ["a"], **body}
    answer = shared.client.post("/v1/embeddings", content=json.dumps(body).encode())
    if answer.status_code != 200:
        assert answer.status_code in (400, 404)
        check_error(answer, answer.status_code)


@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 60), noise=st.binary(min_size=1, max_size=4))
def test_any_damaged_json_is_answered_200_or_a_typed_4xx(shared: Edge, position: int, noise: bytes) -> None:
    whole = b'{"input": ["a", "b"], "dimensions": 8, "encoding_format": "float"}'
    answer = shared.client.post("/v1/embeddings", content=whole[:position] + noise + whole[position + 1 :])
    if answer.status_code != 200:
        check_error(answer, 400)


def test_a_body_of_endless_values_is_refused_whatever_field_holds_them() -> None:
    with edge(max_request_tokens=1000, max_inputs=10) as running:
        answer = running.embed(other=[[]] * 2020)
        assert check_error(answer, 400)["code"] == "too_many_values"
        assert running.embed(other=[[]] * 900).status_code == 200
        assert running.embed(input="[]," * 2020).status_code == 200


@pytest.mark.parametrize(
    ("words", "may_keep"),
    [
        ([], True), (["no-cache"], True), (["no-store"], False), (["max-age=0, No-Store"], False),
        (["no-cache", "no-store"], False),
    ],
)  # fmt: skip
def test_who_wants_nothing_kept_says_so_to_any_api(own: Edge, words: list[str], may_keep: bool) -> None:
    headers = [("Cache-Control", word) for word in words]
    calls: list[tuple[str, dict[str, Any]]] = [
        ("/v1/embeddings", {"input": "a"}), ("/api/embed", {"input": "a"}), ("/api/embeddings", {"prompt": "a"}),
        ("/v1/embed", {"texts": ["a"]}), ("/v2/embed", {"texts": ["a"]}), ("/embed", {"inputs": "a"}),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["b"]}}), ("/", {"inputs": "a"}),
        ("/vertex", {"instances": [{"inputs": "a"}]}), ("/runsync", {"input": {"input": ["a"]}}),
        ("/v1/multimodalembeddings", {"inputs": ["a"]}), ("/pooling", {"input": "a"}),
        ("/v1beta/models/tiny:embedContent", {"content": {"parts": [{"text": "a"}]}}),
    ]  # fmt: skip
    for path, fields in calls:
        assert own.client.post(path, json=fields, headers=headers).status_code == 200
    own.client.post("/v1/classify", json={"input": ["a"], "labels": ["b", "c"]}, headers=headers)
    assert [seen.may_keep for seen in own.services.embedder.seen] == [may_keep] * len(calls)
    assert own.services.classifier.seen[0].may_keep is may_keep
