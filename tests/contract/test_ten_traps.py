"""The ten traps that clients of other servers fell into, each shown not to be one here.

What is about vectors is asked of the whole gateway in front of a real Triton, what is about the wire of the HTTP edge
alone. Each number is a trap; the names say what holds instead.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tiktoken
from starlette.testclient import TestClient

from gateway import errors
from gateway.app import create_app
from gateway.dialects.base import Services
from gateway.types import TextInput
from tests.support.edge import Edge, check_error, edge, settings
from tests.support.images import data_uri, image_file
from tests.support.instant_models import IMAGE_MODEL
from tests.support.instant_services import expected_vector
from tests.support.running_service import running, until
from tests.support.scripted_engine import ScriptedEngine

pytestmark = pytest.mark.triton

V2, V3, V5 = "jina-embeddings-v2-base-en", "jina-embeddings-v3", "jina-embeddings-v5-text-nano"
RERANKER = "jina-reranker-v2-base-multilingual"
TEXTS = ["Berlin is the capital of Germany.", "Paris is the capital of France.", "A boat."]
TOLERANCE = 1e-5
EMBEDDINGS = (
    "/v1/embeddings", "/embeddings", "/v1/v1/embeddings", "/openai/v1/embeddings",
    f"/openai/deployments/{V3}/embeddings",
)  # fmt: skip
REDUCE = "Please reduce your prompt; or completion length."

Json = dict[str, Any]


@pytest.fixture(scope="module")
def twins(twin_gateway_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=twin_gateway_url, timeout=60, follow_redirects=False) as client:
        yield client


@pytest.fixture(scope="module")
def served() -> Iterator[Edge]:
    with edge() as made:
        yield made


def answer(client: httpx.Client, path: str, **body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def rows(client: httpx.Client, given: Any, *, model: str = V3, **fields: Any) -> np.ndarray:
    data = answer(client, "/v1/embeddings", model=model, input=given, **fields)["data"]
    return np.array([item["embedding"] for item in data], np.float32)


def like(some: np.ndarray, others: np.ndarray) -> bool:
    return some.shape == others.shape and bool(np.abs(some - others).max() <= TOLERANCE)


def facts(client: httpx.Client, model: str) -> Json:
    return next(entry for entry in client.get("/v1/models").json()["data"] if entry["id"] == model)


def long_text(client: httpx.Client, model: str) -> str:
    return "word " * (facts(client, model)["max_tokens"] + 10)


@pytest.mark.parametrize("path", [form for path in EMBEDDINGS for form in (path, f"{path}/")])
def test_1_base64_is_answered_on_every_route_and_no_encoding_means_floats(twins: httpx.Client, path: str) -> None:
    """OpenAI's SDK for Node decodes whatever comes; of a list it makes zeros, and says nothing."""

    def embedding(**fields: Any) -> Any:
        return answer(twins, path, model=V3, input=TEXTS[0], **fields)["data"][0]["embedding"]

    floats = np.array(embedding(), np.float32)
    for asked in ("base64", "BASE64"):
        raw = base64.b64decode(embedding(encoding_format=asked), validate=True)
        np.testing.assert_array_equal(np.frombuffer(raw, "<f4"), floats)
    for nothing in (None, "", "float", "Float"):
        np.testing.assert_array_equal(np.array(embedding(encoding_format=nothing), np.float32), floats)


def test_2_token_ids_are_cl100k_base_or_refused(twins: httpx.Client, cl100k_base: tiktoken.Encoding) -> None:
    """LangChain sends them to everybody; read as the model's own they give vectors of nonsense."""
    ids = [cl100k_base.encode(text) for text in TEXTS]
    right = rows(twins, TEXTS, task="text-matching")
    assert like(rows(twins, ids, task="text-matching"), right)
    assert like(rows(twins, ids[0], task="text-matching"), right[:1])  # a flat list is one input
    refused = twins.post("/v1/embeddings", json={"model": V3, "input": [[100_300]]})
    assert "cl100k_base" in check_error(refused, 400)["message"]
    small = [[number % 50 + 5 for number in row] for row in ids]
    as_models = rows(twins, small, task="text-matching", token_vocabulary="model")
    assert not like(as_models, rows(twins, small, task="text-matching"))  # the trap


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/embed", {"input": [[1, 2]]}), ("/api/embed", {"input": [1, 2]}), ("/api/embeddings", {"prompt": [1]}),
        ("/v1/embed", {"texts": [[1, 2]]}), ("/v2/embed", {"texts": [1, 2]}),
        ("/v1/rerank", {"query": "q", "documents": [[1, 2]]}), ("/v1/classify", {"input": [[1]], "labels": ["a"]}),
    ],
)  # fmt: skip
def test_2_apis_without_token_ids_refuse_them(served: Edge, path: str, body: Json) -> None:
    assert served.client.post(path, json=body).status_code == 400


@pytest.mark.parametrize(
    "same",
    [
        ({"task": "retrieval.passage"}, {"task_type": "RETRIEVAL_DOCUMENT"}, {"input_type": "document"},
         {"input_type": "search_document"}, {"input_type": "passage"}, {"prompt_name": "passage"}),
        ({"task": "retrieval.query"}, {"task_type": "RETRIEVAL_QUERY"}, {"input_type": "query"},
         {"input_type": "search_query"}, {"prompt_name": "query"}),
        ({"dimensions": 32}, {"output_dimension": 32}, {"output_dimensionality": 32}),
        ({"encoding_format": "float"}, {"embedding_type": "float"}, {"encoding_type": "float"},
         {"embedding_types": ["float"]}, {"output_dtype": "float"}),
        ({}, {"dimensions": None, "user": None, "task": None, "truncate": None, "late_chunking": None,
              "normalized": None, "embedding_type": None, "input_type": None, "encoding_format": None},
         {"user": "u", "extra_body": {"a": 1}, "priority": 1, "stream": False}),
    ],
    ids=["document", "query", "size", "encoding", "nothing"],
)  # fmt: skip
def test_3_one_path_takes_the_fields_of_three_apis(twins: httpx.Client, same: tuple[Json, ...]) -> None:
    first, *others = (rows(twins, TEXTS, **fields) for fields in same)
    assert all(like(first, other) for other in others)


def test_3_the_sides_differ_and_a_long_text_is_refused_unless_cutting_is_asked_for(twins: httpx.Client) -> None:
    assert not like(rows(twins, TEXTS, input_type="query"), rows(twins, TEXTS, input_type="document"))
    long = long_text(twins, V2)
    cut = rows(twins, long, model=V2, truncate=True)
    assert like(rows(twins, long, model=V2, truncation=True), cut)
    for asked in ({}, {"truncate": None}, {"truncate": False}, {"truncation": False}):
        check_error(twins.post("/v1/embeddings", json={"model": V2, "input": long, **asked}), 400)


def test_4_one_error_body_is_read_by_both_parsers_and_other_apis_have_their_own(twins: httpx.Client) -> None:
    long = long_text(twins, V2)
    for body in ({"input": long}, {"input": 1.5}, {"input": []}, {"input": "a", "dimensions": "many"}):
        check_error(twins.post("/v1/embeddings", json={"model": V2, **body}), 400)
    overflow = twins.post("/v1/embeddings", json={"model": V2, "input": long}).json()
    assert REDUCE in overflow["error"]["message"]
    assert REDUCE in overflow["detail"]
    tei = twins.post("/embed", json={"model": V2, "inputs": long, "truncate": False})
    ollama = twins.post("/api/embed", json={"model": V2, "input": long, "truncate": False})
    cohere = twins.post("/v2/embed", json={"model": V2, "texts": [long], "truncate": "NONE"})
    assert [set(one.json()) for one in (tei, ollama, cohere)] == [{"error", "error_type"}, {"error"}, {"message", "id"}]
    assert all(isinstance(text, str) for one in (tei, ollama, cohere) for text in one.json().values())


def ranking(client: httpx.Client, path: str = "/v1/rerank", **fields: Any) -> list[Json]:
    found = answer(client, path, **{"model": RERANKER, "query": "capital", **fields})
    results = found if isinstance(found, list) else found["results"]
    return list(results)


@pytest.mark.parametrize("name", ["documents", "texts", "docs", "passages"])
def test_5_documents_have_four_names_and_results_one_order(twins: httpx.Client, name: str) -> None:
    expected = ranking(twins, documents=TEXTS)
    assert ranking(twins, **{name: TEXTS}) == expected
    scores = [row["relevance_score"] for row in expected]
    assert scores == sorted(scores, reverse=True)
    bare = ranking(twins, "/rerank", texts=TEXTS)
    assert [row["index"] for row in bare] == [row["index"] for row in expected]
    assert [round(row["score"], 8) for row in bare] == scores
    objects = [row | {"document": {"text": row["document"]}} for row in expected]  # as vLLM's clients read them
    assert ranking(twins, "/rerank", documents=TEXTS) == objects


def test_5_documents_come_back_in_the_form_that_the_caller_knows_or_not_at_all(twins: httpx.Client) -> None:
    objects = [{"text": text} for text in TEXTS]
    fern = {"x-fern-sdk-name": "cohere"}

    def documents(path: str = "/v1/rerank", headers: dict[str, str] | None = None, **fields: Any) -> list[Any]:
        body = {"model": RERANKER, "query": "capital", "top_n": 1, **fields}
        response = twins.post(path, json=body, headers=headers)
        return [row.get("document", "absent") for row in response.json()["results"]]

    [string], [whole] = documents(documents=TEXTS), documents(documents=objects)
    assert whole == {"text": string}
    assert documents(documents=TEXTS, headers=fern, return_documents=True) == [whole]
    assert documents(documents=TEXTS, headers=fern) == ["absent"]
    assert documents("/v2/rerank", documents=TEXTS) == ["absent"]
    assert documents(documents=objects, return_documents=False) == ["absent"]


@pytest.mark.parametrize(("top_n", "count"), [(None, 3), (0, 3), (1, 1), (3, 3), (99, 3)])
def test_5_any_number_of_results_may_be_asked_for(twins: httpx.Client, top_n: int | None, count: int) -> None:
    for path in ("/v1/rerank", "/rerank", "/v2/rerank", "/api/rerank"):
        assert len(ranking(twins, path, documents=TEXTS, top_n=top_n)) == count


@pytest.mark.parametrize("model", [V3, V5])
def test_6_no_task_means_the_models_own_default_which_it_tells(twins: httpx.Client, model: str) -> None:
    """A wrong one gives vectors that are a little off, and no error."""
    told = facts(twins, model)
    by_task = {task: rows(twins, TEXTS, model=model, task=task) for task in told["tasks"]}
    assert len(by_task) > 3
    found = rows(twins, TEXTS, model=model)
    assert [task for task, vectors in by_task.items() if like(vectors, found)] == [told["default_task"]]


def test_6_words_of_another_model_mean_this_ones_task(twins: httpx.Client) -> None:
    for model in (V3, V5):
        names = {"separation", "clustering"}
        [own] = names & set(facts(twins, model)["tasks"])
        [foreign] = names - {own}
        assert like(rows(twins, TEXTS, model=model, task=foreign), rows(twins, TEXTS, model=model, task=own))
    plain = rows(twins, TEXTS, model=V2)
    assert like(rows(twins, TEXTS, model=V2, task="retrieval.passage"), plain)  # a model without tasks


@pytest.mark.parametrize("model", [V3, V5])
def test_7_shortened_vectors_have_unit_length_again(twins: httpx.Client, model: str) -> None:
    whole = rows(twins, TEXTS, model=model)
    size = whole.shape[1] // 2
    start = whole[:, :size]
    expected = start / np.linalg.norm(start, axis=1, keepdims=True)
    assert np.linalg.norm(start, axis=1).max() < 0.99  # the trap
    assert like(rows(twins, TEXTS, model=model, dimensions=size), expected)
    assert like(np.array(answer(twins, "/embed", model=model, inputs=TEXTS, dimensions=size), np.float32), expected)
    ollama = answer(twins, "/api/embed", model=model, input=TEXTS, dimensions=size)["embeddings"]
    assert like(np.array(ollama, np.float32), expected)
    cohere = answer(twins, "/v2/embed", model=model, texts=TEXTS, output_dimension=size)["embeddings"]["float"]
    assert like(np.array(cohere, np.float32), expected)
    old = answer(twins, "/api/embeddings", model=model, prompt=TEXTS[0])["embedding"]
    assert np.linalg.norm(old) == pytest.approx(1, abs=TOLERANCE)


def test_7_more_dimensions_than_there_are_is_what_each_api_makes_of_it(twins: httpx.Client) -> None:
    native = facts(twins, V3)["dimensions"]
    body = {"model": V3, "dimensions": native + 1}
    assert check_error(twins.post("/v1/embeddings", json={**body, "input": TEXTS}), 400)["param"] == "dimensions"
    assert twins.post("/embed", json={**body, "inputs": TEXTS}).status_code == 422
    ignored = answer(twins, "/api/embed", **body, input=TEXTS)["embeddings"]
    assert like(np.array(ignored, np.float32), rows(twins, TEXTS))
    for model in (V2, V3):  # some clients always send the size that is there
        assert rows(twins, TEXTS, model=model, dimensions=facts(twins, model)["dimensions"]).shape[0] == len(TEXTS)


def test_8_bits_begin_with_the_first_value_and_zero_is_no_bit(served: Edge) -> None:
    values = [0.0, 1.0, -1.0, 0.5, -0.0, 1e-30, -2.0, 3.0, -1, -1, -1, -1, -1, -1, -1, -1, 1, 1, 1, 1, 1, 1, 1, 1]
    unsigned = [0b01010101, 0, 255]
    signed = [value - 128 for value in unsigned]
    served.services.embedder.fixed = np.array([values], np.float32)
    try:
        jina = {
            name: served.embed(embedding_type=name).json()["data"][0]["embedding"] for name in ("ubinary", "binary")
        }
        [cohere] = [
            answer(served.client, "/v2/embed", texts=["a"], embedding_types=["ubinary", "binary"])["embeddings"]
        ]
        listed = served.embed(embedding_type=["binary"]).json()["data"][0]["embedding"]
    finally:
        served.services.embedder.fixed = None
    assert jina == {"ubinary": unsigned, "binary": signed}
    assert cohere == {"ubinary": [unsigned], "binary": [signed]}
    assert listed == signed
    assert all(type(number) is int for number in listed)


def test_9_as_many_inputs_as_openai_takes_come_back_in_their_order(served: Edge, twins: httpx.Client) -> None:
    texts = [f"text {number}" for number in range(2048)]
    data = served.embed(input=texts).json()["data"]
    assert [item["index"] for item in data] == list(range(2048))
    for number in (0, 1, 1000, 2047):
        np.testing.assert_array_equal(np.float32(data[number]["embedding"]), expected_vector(TextInput(texts[number])))
    check_error(served.embed(input=[*texts, "one more"]), 400)
    # More than any batch behind the gateway holds, the short and the long in turns.
    mixed = [f"word {'and word ' * (number % 7)}{number}" for number in range(300)]
    together = rows(twins, mixed, model=V2)
    for number in (0, 6, 150, 299):
        assert like(together[number : number + 1], rows(twins, mixed[number], model=V2))


def test_9_who_is_turned_away_is_told_when_to_come_again(served: Edge) -> None:
    """SDKs go again by themselves at 429 and 503, after what these say; more than a minute and they do not."""
    for path, body in (("/v1/embeddings", {"input": "a"}), ("/v2/embed", {"texts": ["a"]}), ("/embed", {"inputs": "a"}),
                       ("/api/embed", {"input": "a"})):  # fmt: skip
        for error in (errors.Overloaded("Too much is waiting."), errors.EngineUnavailable("Triton is away.")):
            served.services.embedder.error = error
            try:
                refused = served.client.post(path, json=body)
            finally:
                served.services.embedder.error = None
            assert refused.status_code in (429, 503)
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert int(refused.headers["retry-after-ms"]) == 1000 * int(refused.headers["retry-after"])


def test_9_what_is_no_number_never_becomes_json(tmp_path: Path) -> None:
    engine = ScriptedEngine(states={"tiny": "READY"})

    @asynccontextmanager
    async def start(*_: object) -> AsyncIterator[Services]:
        async with running(tmp_path, engine, canary_interval_seconds=3600.0) as service:
            await until(lambda: service.readiness.report().ready)
            yield Services(
                embedder=service.embedding, reranker=service.reranking, classifier=service.classification,
                segmenter=service.segmentation, tokenizer=service.tokenization, models=service.models,
                health=service.readiness,
            )  # fmt: skip

    with TestClient(create_app(settings(), start_services=start), raise_server_exceptions=False) as client:
        assert answer(client, "/v1/embeddings", input="cat")["data"]
        engine.nan = True
        for path, body, status in (
            ("/v1/embeddings", {"input": "mat"}, 500), ("/v2/embed", {"texts": ["mat"]}, 500),
            ("/api/embed", {"input": "mat"}, 500), ("/embed", {"inputs": "mat"}, 424),
        ):  # fmt: skip
            refused = client.post(path, json=body)
            assert refused.status_code == status, refused.text
            assert "NaN" in refused.text
            assert isinstance(refused.json(), dict)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"input": "a"}), ("/embeddings", {"input": "a"}), ("/api/embed", {"input": "a"}),
        ("/api/embeddings", {"prompt": "a"}), ("/v1/embed", {"texts": ["a"]}), ("/v2/embed", {"texts": ["a"]}),
        ("/embed", {"inputs": "a"}), ("/rerank", {"query": "q", "texts": ["a"]}), ("/tokenize", {"inputs": "a"}),
        ("/v1/rerank", {"query": "q", "documents": ["a"]}), ("/v2/rerank", {"query": "q", "documents": ["a"]}),
    ],
)  # fmt: skip
def test_10_no_post_is_redirected(served: Edge, path: str, body: Json) -> None:
    for form in (path, f"{path}/"):
        assert served.client.post(form, json=body, follow_redirects=False).status_code == 200, form


def test_10_clients_of_ollama_find_it_alive_and_its_models_tagged(twins: httpx.Client) -> None:
    for method in ("GET", "HEAD"):
        alive = twins.request(method, "/", headers={"accept": "*/*"})
        assert (alive.status_code, alive.text) == (200, "Ollama is running" if method == "GET" else "")
    names = [model["name"] for model in twins.get("/api/tags").json()["models"]]
    assert f"{V3}:latest" in names
    assert all(name.endswith(":latest") for name in names)
    for path in ("/api/embed", "/v1/embeddings"):
        for name in (V3, f"{V3}:latest", f"{V3}:latest".upper(), f"jinaai/{V3}:latest"):
            assert answer(twins, path, model=name, input="a")


def test_10_durations_are_whole_nanoseconds(served: Edge) -> None:
    told = answer(served.client, "/api/embed", input="a")
    durations = [told[name] for name in told if name.endswith("_duration")]
    assert durations
    assert all(type(duration) is int for duration in durations)
    assert told["total_duration"] > 1000  # a microsecond: smaller is another unit


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_10_runpods_jobs_are_asked_for_as_in_the_cloud_and_as_by_its_local_server(served: Edge, method: str) -> None:
    """The package's own local server wants POST where the cloud wants GET."""
    job = answer(served.client, "/run", input={"model": "tiny", "input": ["a"]})["id"]
    found: Json = {}
    for _ in range(1000):
        found = served.client.request(method, f"/status/{job}").json()
        if found["status"] not in ("IN_QUEUE", "IN_PROGRESS"):
            break
    assert found["status"] == "COMPLETED"
    vector = np.float32(found["output"]["data"][0]["embedding"])
    np.testing.assert_array_equal(vector, expected_vector(TextInput("a")))


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer", "Basic ", "Bearer anything"])
def test_10_a_key_that_is_empty_or_not_asked_for_does_no_harm(served: Edge, header: str) -> None:
    plain = served.client.post("/v1/embeddings", json={"input": "a"}, headers={"authorization": header})
    assert plain.status_code == 200
    both = {"authorization": header, "api-key": ""}
    assert served.client.post("/v1/embeddings", json={"input": "a"}, headers=both).status_code == 200


@pytest.mark.parametrize("name", ["authorization", "api-key", "x-api-key"])
def test_10_a_key_may_come_in_any_of_their_headers(name: str) -> None:
    with edge(api_keys=("right",)) as keyed:
        value = "Bearer right" if name == "authorization" else "right"
        beside = {"authorization": "Bearer ", name: value}
        assert keyed.client.post("/v1/embeddings", json={"input": "a"}, headers=beside).status_code == 200
        assert keyed.client.post("/v1/embeddings", json={"input": "a"}).status_code == 401


def test_10_an_offer_of_http2_is_declined_and_the_request_served(twins: httpx.Client) -> None:
    offer = {
        "connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "user-agent": "Java-http-client/21.0.2",
        "http2-settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    }  # fmt: skip
    offered = twins.post("/v1/embeddings", json={"model": V2, "input": TEXTS}, headers=offer)
    assert offered.status_code == 200
    assert offered.http_version == "HTTP/1.1"
    found = np.array([item["embedding"] for item in offered.json()["data"]], np.float32)
    assert like(found, rows(twins, TEXTS, model=V2))


@pytest.mark.parametrize("form", ["image", "url", "image_url", "nested", "bytes", "image_base64", "typed"])
def test_10_images_are_read_in_every_form_that_clients_send(served: Edge, form: str) -> None:
    uri = data_uri(image_file(40, 90, seed=1))
    raw = uri.partition(",")[2]
    item: Json = {
        "image": {"image": raw}, "url": {"url": uri}, "image_url": {"image_url": uri},
        "nested": {"type": "image_url", "image_url": {"url": uri}}, "bytes": {"bytes": raw},
        "image_base64": {"image_base64": raw}, "typed": {"type": "image", "format": "base64", "value": raw},
    }[form]  # fmt: skip
    found = served.embed(model=IMAGE_MODEL, input=[item]).json()["data"][0]["embedding"]
    assert found == served.embed(model=IMAGE_MODEL, input=[{"image": uri}]).json()["data"][0]["embedding"]


def test_10_usage_is_told_and_an_empty_text_has_a_vector(twins: httpx.Client) -> None:
    for given in ("", [""], ["", "a"]):
        told = answer(twins, "/v1/embeddings", model=V2, input=given)
        assert type(told["usage"]["prompt_tokens"]) is int
        assert told["usage"]["total_tokens"] >= told["usage"]["prompt_tokens"] > 0
        assert len(told["data"]) == (1 if isinstance(given, str) else len(given))
        assert np.linalg.norm([item["embedding"] for item in told["data"]], axis=1) == pytest.approx(1, abs=TOLERANCE)
