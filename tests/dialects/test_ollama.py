"""Ollama's API inside the edge: its shapes, its odd inputs, what it refuses, and its errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway import errors
from gateway.types import Overflow, StageSeconds, TextInput
from tests.support.edge import Edge, edge
from tests.support.instant_models import DIMENSIONS, IMAGE_MODEL, RERANKER, ScriptedModels, image_listing, plain_listing
from tests.support.instant_services import expected_score, expected_vector

KEY = "key-1"


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    """For tests that leave the services as they are."""
    with edge(max_inputs=32) as running:
        yield running


@pytest.fixture
def own() -> Iterator[Edge]:
    with edge() as running:
        yield running


def embed(running: Edge, **fields: Any) -> httpx.Response:
    return running.client.post("/api/embed", json={"model": "tiny", "input": "a text", **fields})


def check_error(answer: httpx.Response, status: int) -> str:
    """Ollama's error and nothing else; returns its sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    [(key, message)] = answer.json().items()
    assert key == "error"
    assert isinstance(message, str)
    assert message
    return message


def test_vectors_in_input_order_with_what_they_took(shared: Edge) -> None:
    body = embed(shared, model="tiny:latest", input=["one", "two", ""]).json()
    assert body["model"] == "tiny:latest"  # as the caller wrote it
    for text, vector in zip(["one", "two", ""], body["embeddings"], strict=True):
        assert np.array_equal(np.asarray(vector, np.float32), expected_vector(TextInput(text)))
    assert body["prompt_eval_count"] == 3
    assert type(body["total_duration"]) is int
    assert 1_000 < body["total_duration"] < 60e9, "nanoseconds"
    assert "load_duration" not in body, "zeros are left out"


@pytest.mark.parametrize("given_input", [{}, {"input": None}, {"input": ""}, {"input": []}])
def test_nothing_to_embed_is_a_way_to_ask_for_the_model(shared: Edge, given_input: dict[str, Any]) -> None:
    answer = shared.client.post("/api/embed", json={"model": "tiny", **given_input})
    assert (answer.status_code, answer.json()) == (200, {"model": "tiny", "embeddings": []})
    missing = shared.client.post("/api/embed", json={"model": "none", **given_input})
    assert 'model "none" not found, try pulling it first' in check_error(missing, 404)


@pytest.mark.parametrize("wrong", [1, [1, 2], [[1]], ["a", 1], {"text": "a"}, True, ["a", None]])
def test_other_inputs_are_refused_in_ollamas_words(shared: Edge, wrong: Any) -> None:
    assert check_error(embed(shared, input=wrong), 400).startswith("invalid input type")


def test_fields_reach_the_service(own: Edge) -> None:
    embed(own, dimensions=8, truncate=False, task="query", input_type="document")
    embed(own)
    refused, plain = own.services.embedder.seen
    assert (refused.model, refused.dimensions, refused.overflow) == ("tiny", 8, Overflow.REFUSE)
    assert (refused.task, refused.side) == ("query", "document")
    assert (plain.overflow, plain.task, plain.side, plain.dimensions) == (Overflow.TRUNCATE, None, None, None)
    assert plain.normalised


@pytest.mark.parametrize("dimensions", [DIMENSIONS, DIMENSIONS + 1, 10**9, 0, -1, None])
def test_sizes_that_are_not_below_the_models_own_change_nothing(shared: Edge, dimensions: int | None) -> None:
    [vector] = embed(shared, dimensions=dimensions).json()["embeddings"]
    assert np.array_equal(np.asarray(vector, np.float32), expected_vector(TextInput("a text")))


def test_langchains_options_are_ignored_but_for_the_task(own: Edge) -> None:
    options = {"mirostat": None, "num_ctx": None, "temperature": 0.1, "stop": None, "num_gpu": 99, "tfs_z": None}
    assert embed(own, options=options, keep_alive=None, dimensions=None, truncate=None).status_code == 200
    assert embed(own, options=options | {"task": "clustering", "input_type": "query"}).status_code == 200
    assert embed(own, options={"task": "clustering"}, task="query").status_code == 200
    assert [(one.task, one.side) for one in own.services.embedder.seen] == [
        (None, None),
        ("clustering", "query"),
        ("query", None),
    ]


@pytest.mark.parametrize("keep_alive", ["5m", -1, 0, "-1", 1.5, None])
def test_keep_alive_is_ignored(shared: Edge, keep_alive: Any) -> None:
    assert embed(shared, keep_alive=keep_alive).status_code == 200


@pytest.mark.parametrize(("field", "value"), [("options", []), ("dimensions", "8"), ("truncate", "no"), ("model", 1)])
def test_wrong_types_are_refused(shared: Edge, field: str, value: Any) -> None:
    assert f"'{field}'" in check_error(embed(shared, **{field: value}), 400)


def test_durations_tell_what_came_before_the_model(own: Edge) -> None:
    whole = own.services.embedder.embed

    async def slower(request: Any) -> Any:
        return replace(await whole(request), stages=StageSeconds(images=0.5, tokenize=0.25))

    own.services.embedder.embed = slower  # type: ignore[method-assign]
    assert embed(own).json()["load_duration"] == 750_000_000


@pytest.mark.parametrize("name", ["prompt", "input"])
def test_the_call_of_old_clients(shared: Edge, name: str) -> None:
    answer = shared.client.post("/api/embeddings", json={"model": "tiny", name: "one"})
    assert set(answer.json()) == {"embedding"}
    assert np.array_equal(np.asarray(answer.json()["embedding"], np.float32), expected_vector(TextInput("one")))


def test_warnings_become_headers_in_both_calls(own: Edge) -> None:
    own.services.embedder.warnings = ("cut short",)
    assert embed(own).headers["x-gateway-warning"] == "cut short"
    old = own.client.post("/api/embeddings", json={"model": "tiny", "prompt": "one"})
    assert old.headers["x-gateway-warning"] == "cut short"


@pytest.mark.parametrize("prompt", ["", None])
def test_old_clients_may_send_nothing_too(shared: Edge, prompt: str | None) -> None:
    answer = shared.client.post("/api/embeddings", json={"model": "tiny", "prompt": prompt})
    assert (answer.status_code, answer.json()) == (200, {"embedding": []})
    check_error(shared.client.post("/api/embeddings", json={"model": "x", "prompt": prompt}), 404)
    check_error(shared.client.post("/api/embeddings", json={"model": "tiny", "prompt": ["a"]}), 400)


@pytest.mark.parametrize("path", ["/api/rerank", "/api/reranker", "/api/rerank/"])
def test_rerank_as_jinas(shared: Edge, path: str) -> None:
    body = shared.client.post(path, json={"model": RERANKER, "query": "q", "documents": ["a", "b"], "top_n": 1}).json()
    best = max("ab", key=lambda text: expected_score("q", text))
    assert [(row["index"], row["document"]) for row in body["results"]] == [("ab".index(best), best)]
    missing = shared.client.post(path, json={"model": "m", "query": "q", "documents": ["a"]})
    assert "not found" in check_error(missing, 404)


def test_tags_name_every_model_with_its_tag_and_the_operators_names() -> None:
    listing = replace(
        plain_listing(), configured_aliases={"mine": None, "mine:query": "query"}, size_bytes=9, digest="d"
    )
    with edge(ScriptedModels((listing, image_listing()))) as running:
        models = running.client.get("/api/tags").json()["models"]
    assert [model["name"] for model in models] == ["tiny:latest", "mine:latest", "mine:query", f"{IMAGE_MODEL}:latest"]
    assert models[0] == {
        "name": "tiny:latest",
        "model": "tiny:latest",
        "modified_at": "2021-08-30T00:00:00+00:00",
        "size": 9,
        "digest": "d",
        "details": {
            "parent_model": "",
            "format": "onnxruntime",
            "family": "embedding",
            "families": ["embedding"],
            "parameter_size": "",
            "quantization_level": "",
            "context_length": 256,
            "embedding_length": DIMENSIONS,
        },
        "capabilities": ["embedding"],
    }
    assert models[3]["capabilities"] == ["embedding", "vision"]


def test_a_model_of_whose_files_nothing_is_known_has_a_digest_too(shared: Edge) -> None:
    """Ollama's own client takes the first 12 characters of it without looking."""
    for path in ("/api/tags", "/api/ps"):
        digests = [model["digest"] for model in shared.client.get(path).json()["models"]]
        assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)
        assert len(set(digests)) == len(digests)


def test_when_a_model_was_last_proved_is_when_it_was_modified() -> None:
    listing = replace(plain_listing(), installed_at="2026-11-21T10:00:00+00:00", variant="int8")
    with edge(ScriptedModels((listing,))) as running:
        [model] = running.client.get("/api/tags").json()["models"]
        assert running.client.head("/api/tags").status_code == 200
    assert model["modified_at"] == "2026-11-21T10:00:00+00:00"
    assert model["details"]["quantization_level"] == "INT8"


@pytest.mark.parametrize("field", ["model", "name"])
def test_show(shared: Edge, field: str) -> None:
    body = shared.client.post("/api/show", json={field: "acme/Tiny-Model:latest", "verbose": True}).json()
    assert body["capabilities"] == ["embedding"]
    kind = body["model_info"]["general.architecture"]
    assert body["model_info"][f"{kind}.context_length"] == 256
    assert body["model_info"][f"{kind}.embedding_length"] == DIMENSIONS
    assert body["details"]["families"] == ["embedding"]
    assert all(isinstance(body[name], str) for name in ("license", "modelfile", "parameters", "template"))
    of_reranker = shared.client.post("/api/show", json={field: RERANKER}).json()
    assert of_reranker["capabilities"] == ["rerank"]
    assert not any(name.endswith("embedding_length") for name in of_reranker["model_info"])
    assert "not found" in check_error(shared.client.post("/api/show", json={field: "none"}), 404)


def test_what_runs_stays(shared: Edge) -> None:
    models = shared.client.get("/api/ps").json()["models"]
    assert [model["model"] for model in models] == ["tiny:latest", f"{RERANKER}:latest", f"{IMAGE_MODEL}:latest"]
    for model in models:
        assert (model["expires_at"], model["size_vram"]) == ("2200-01-01T00:00:00Z", 0)


def test_a_version_as_ollamas_are(shared: Edge) -> None:
    assert [*map(int, shared.client.get("/api/version").json()["version"].split("."))] > [0, 2, 0]
    assert shared.client.head("/api/version").status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_somebody_is_there(shared: Edge, method: str) -> None:
    answer = shared.client.request(method, "/")
    assert (answer.status_code, answer.text) == (200, "Ollama is running" if method == "GET" else "")


def test_pulling_what_is_there_succeeds_in_both_forms(shared: Edge) -> None:
    streamed = shared.client.post("/api/pull", json={"model": "tiny"})
    assert streamed.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in streamed.text.splitlines()][-1] == {"status": "success"}
    assert len(streamed.text.splitlines()) == 2
    whole = shared.client.post("/api/pull", json={"name": "tiny:latest", "stream": False, "insecure": None})
    assert (whole.headers["content-type"], whole.json()) == ("application/json", {"status": "success"})
    for stream in (True, False):
        missing = shared.client.post("/api/pull", json={"model": "none", "stream": stream})
        assert check_error(missing, 404).startswith("pull model manifest: file does not exist")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/generate"), ("POST", "/api/chat"), ("POST", "/api/create"), ("POST", "/api/copy"),
        ("POST", "/api/push"), ("DELETE", "/api/delete"), ("POST", "/api/blobs/sha256:00"),
        ("HEAD", "/api/blobs/sha256:00"), ("POST", "/api/blobs/sha256:00/"),
    ],
)  # fmt: skip
def test_what_is_not_offered_is_refused_in_words(shared: Edge, method: str, path: str) -> None:
    answer = shared.client.request(method, path, content=b'{"model": "tiny"}')
    if method == "HEAD":
        assert (answer.status_code, answer.content) == (403, b"")
    else:
        check_error(answer, 403)


@pytest.mark.parametrize("path", ["/api/none", "/api/", "/api/embed/none"])
def test_unknown_paths_are_answered_as_ollama_does(shared: Edge, path: str) -> None:
    check_error(shared.client.post(path, json={}), 404)


def test_a_wrong_method_is_answered_as_ollama_does(shared: Edge) -> None:
    check_error(shared.client.get("/api/embed"), 405)


# What each failure is to clients of Ollama.
FAILURES = [
    (errors.Overloaded("full", retry_after_seconds=3), 503),
    (errors.EngineUnavailable("away"), 503),
    (errors.DeadlineExceeded("late"), 504),
    (errors.InferenceFailed("failed"), 500),
    (errors.InvalidVector("NaN"), 500),
    (ValueError("a defect"), 500),
]


@pytest.mark.parametrize(("error", "status"), FAILURES, ids=lambda one: type(one).__name__)
def test_failures(own: Edge, error: Exception, status: int) -> None:
    own.services.embedder.error = error
    answer = embed(own)
    check_error(answer, status)
    assert ("retry-after" in answer.headers) == (status == 503)
    check_error(own.client.post("/api/embeddings", json={"model": "tiny", "prompt": "a"}), status)


def test_a_text_that_is_too_long_is_told_in_ollamas_words(own: Edge) -> None:
    own.services.embedder.error = errors.TokenLimitExceeded("9 of 8 tokens.", param="input")
    message = check_error(embed(own, truncate=False), 400)
    assert message == "the input length exceeds the context length: 9 of 8 tokens."


def test_keys_and_bodies() -> None:
    with edge(api_keys=(KEY,), max_body_bytes=1000, max_inputs=3) as running:
        check_error(embed(running), 401)
        check_error(running.client.get("/api/tags"), 401)
        running.client.headers["authorization"] = f"Bearer {KEY}"
        assert embed(running).status_code == 200
        check_error(embed(running, other="x" * 2000), 413)
        check_error(embed(running, input=["a"] * 4), 400)
        for body in (b"", b"[]", b"{", b'{"input": "\xff"}'):
            check_error(running.client.post("/api/embed", content=body), 400)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["task", "a"]), inner, max_size=2),
    max_leaves=8,
)
FIELDS = ("model", "name", "input", "prompt", "truncate", "dimensions", "keep_alive", "options", "task", "stream")
PATHS = ("/api/embed", "/api/embeddings", "/api/show", "/api/pull", "/api/rerank")


@hypothesis_settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(PATHS), fields=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4))
def test_any_json_is_answered_or_refused_in_ollamas_words(shared: Edge, path: str, fields: dict[str, Any]) -> None:
    answer = shared.client.post(path, json=fields)
    if answer.status_code != 200:
        assert answer.status_code in (400, 404)
        check_error(answer, answer.status_code)
