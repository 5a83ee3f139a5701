"""The same text through any API gives the same vector, whichever words it has for the task; with a real Triton."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import BUNDLED_MODEL

pytestmark = pytest.mark.triton

V3, RERANKER = "jina-embeddings-v3", "jina-reranker-v2-base-multilingual"
TEXTS = ["A harbour in the morning.", "Ein Hafen am Morgen.", ""]

Rows = np.ndarray


@pytest.fixture(scope="module")
def plain(gateway_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway_url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def twins(twin_gateway_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=twin_gateway_url, timeout=60) as client:
        yield client


def answer(client: httpx.Client, path: str, **body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def rows(values: Any) -> Rows:
    return np.asarray(values, np.float32)


def openai(client: httpx.Client, model: str, **fields: Any) -> Rows:
    body = answer(client, "/v1/embeddings", model=model, input=TEXTS, encoding_format="base64", **fields)
    return np.stack([np.frombuffer(base64.b64decode(one["embedding"]), "<f4") for one in body["data"]])


def through_every_api(client: httpx.Client, model: str) -> dict[str, Rows]:
    cohere = answer(client, "/v2/embed", model=model, texts=TEXTS, embedding_types=["float", "base64"])["embeddings"]
    return {
        "float": rows([one["embedding"] for one in answer(client, "/v1/embeddings", model=model, input=TEXTS)["data"]]),
        "ollama": rows(answer(client, "/api/embed", model=f"{model}:latest", input=TEXTS)["embeddings"]),
        "cohere": rows(cohere["float"]),
        "cohere base64": np.stack([np.frombuffer(base64.b64decode(one), "<f4") for one in cohere["base64"]]),
        "cohere v1": rows(answer(client, "/v1/embed", model=model, texts=TEXTS)["embeddings"]),
        "tei": rows(answer(client, "/embed", model=model, inputs=TEXTS)),
        "azure": rows(
            [one["embedding"] for one in answer(client, f"/openai/deployments/{model}/embeddings", input=TEXTS)["data"]]
        ),
        "vllm bytes": np.frombuffer(
            client.post("/v1/embeddings", json={"model": model, "input": TEXTS, "encoding_format": "bytes"}).content,
            "<f4",
        ).reshape(len(TEXTS), -1),
        "vllm pooling": rows([one["data"] for one in answer(client, "/pooling", model=model, input=TEXTS)["data"]]),
    }


def test_every_api_gives_the_same_bits(plain: httpx.Client) -> None:
    expected = openai(plain, BUNDLED_MODEL)
    for name, vectors in through_every_api(plain, BUNDLED_MODEL).items():
        assert np.array_equal(vectors, expected), name
    old = answer(plain, "/api/embeddings", model=BUNDLED_MODEL, prompt=TEXTS[0])["embedding"]
    assert np.array_equal(rows(old), expected[0])


def test_every_api_gives_the_same_bits_of_a_model_with_tasks(twins: httpx.Client) -> None:
    expected = openai(twins, V3)
    for name, vectors in through_every_api(twins, V3).items():
        assert np.array_equal(vectors, expected), name


@pytest.mark.parametrize(
    ("task", "ollama", "cohere", "tei"),
    [
        ("retrieval.query", {"options": {"task": "retrieval.query"}}, "search_query", "query"),
        ("retrieval.passage", {"options": {"task": "retrieval.passage"}}, "search_document", "passage"),
        ("separation", {"task": "clustering"}, "clustering", "clustering"),
        ("classification", {"options": {"input_type": "classification"}}, "classification", "classification"),
    ],
)
def test_every_apis_words_mean_the_models_task(
    twins: httpx.Client, task: str, ollama: dict[str, Any], cohere: str, tei: str
) -> None:
    expected = openai(twins, V3, task=task)
    assert not np.allclose(expected, openai(twins, V3, task="text-matching"), atol=1e-3)
    found = {
        "ollama": answer(twins, "/api/embed", model=V3, input=TEXTS, **ollama)["embeddings"],
        "ollama's name": answer(twins, "/api/embed", model=f"jinaai/{V3}:{task}", input=TEXTS)["embeddings"],
        "cohere": answer(twins, "/v2/embed", model=V3, texts=TEXTS, input_type=cohere)["embeddings"]["float"],
        "tei": answer(twins, "/embed", model=V3, inputs=TEXTS, prompt_name=tei),
    }
    for name, vectors in found.items():
        assert np.array_equal(rows(vectors), expected), name


def test_small_types_keep_the_angles(plain: httpx.Client) -> None:
    texts = [f"{subject} {verb} {place}" for subject in ("A cat", "My boat") for verb in ("sits", "sinks")
             for place in ("in the harbour", "on a mat")]  # fmt: skip
    asked = ["float", "int8", "uint8"]
    by_type = answer(plain, "/v2/embed", texts=texts, embedding_types=asked)["embeddings"]
    exact = rows(by_type["float"]).astype(np.float64)
    for name, shift in (("int8", 0), ("uint8", 128)):
        whole = np.asarray(by_type[name], np.float64) - shift
        whole /= np.linalg.norm(whole, axis=1, keepdims=True)
        np.testing.assert_allclose(whole @ whole.T, exact @ exact.T, atol=0.01)


def test_which_end_of_a_long_text_is_lost(plain: httpx.Client) -> None:
    first, last = "The harbour lies in the fog. " * 60, "A violin plays in the hall. " * 60
    [start], [end] = (
        answer(plain, "/embed", inputs=text, truncation_direction=side)
        for text, side in ((first, "Right"), (last, "Left"))
    )
    assert rows(start) @ rows(end) < 0.5
    both = first + last
    assert answer(plain, "/embed", inputs=both) == [start]
    assert answer(plain, "/embed", inputs=[both], truncation_direction="Left") == [end]
    assert answer(plain, "/v2/embed", texts=[both])["embeddings"]["float"] == [start]
    for side, vector in (("right", start), ("left", end)):
        asked = {"truncate_prompt_tokens": -1, "truncation_side": side}
        assert answer(plain, "/v1/embeddings", input=both, **asked)["data"][0]["embedding"] == vector
    assert answer(plain, "/v2/embed", texts=[both], truncate="START")["embeddings"]["float"] == [end]
    assert answer(plain, "/api/embed", input=both)["embeddings"] == [start]
    refused = plain.post("/embed", json={"inputs": first + last, "truncate": False})
    assert (refused.status_code, refused.json()["error_type"]) == (422, "Validation")
    refused = plain.post("/v2/embed", json={"texts": [first + last], "truncate": "NONE"})
    assert (refused.status_code, set(refused.json())) == (400, {"message", "id"})
    refused = plain.post("/api/embed", json={"input": first + last, "truncate": False})
    assert refused.json()["error"].startswith("the input length exceeds the context length")


def test_a_text_cut_to_a_length_is_as_good_as_sent_that_short(plain: httpx.Client) -> None:
    words = "the harbour lies in the fog and a violin plays"
    cut = answer(plain, "/v1/embeddings", input=words, truncate_prompt_tokens=7)
    short = answer(plain, "/v1/embeddings", input="the harbour lies in the")
    assert cut["usage"]["prompt_tokens"] == short["usage"]["prompt_tokens"] == 7
    assert cut["data"][0]["embedding"] == short["data"][0]["embedding"]


def test_scores_are_cosines_of_the_same_vectors_or_those_of_rerank(twins: httpx.Client) -> None:
    query, documents = TEXTS[0], TEXTS[:2]
    scored = answer(twins, "/score", model=V3, queries=query, documents=documents)["data"]
    [one], many = openai(twins, V3, input_type="query")[:1], openai(twins, V3, input_type="document")[:2]
    assert [item["score"] for item in scored] == pytest.approx((many @ one).tolist(), abs=1e-6)
    scored = answer(twins, "/score", model=RERANKER, queries=query, documents=documents)["data"]
    ranked = answer(twins, "/v1/rerank", model=RERANKER, query=query, documents=documents)["results"]
    expected = {item["index"]: item["relevance_score"] for item in ranked}
    assert {item["index"]: item["score"] for item in scored} == pytest.approx(expected, abs=1e-6)


def test_tokens_go_to_text_and_back_and_give_the_same_vector(plain: httpx.Client) -> None:
    [tokens] = answer(plain, "/tokenize", inputs=TEXTS[0])
    ids = [token["id"] for token in tokens]
    assert answer(plain, "/decode", ids=ids) == ["a harbour in the morning."]
    assert answer(plain, "/tokenize", prompt=TEXTS[0])["tokens"] == ids
    bare = [token["id"] for token in tokens if not token["special"]]
    for given in (TEXTS[0], ids, [bare]):
        assert np.array_equal(rows(answer(plain, "/embed", inputs=given)), openai(plain, BUNDLED_MODEL)[:1])


def test_every_rerank_gives_the_same_scores(twins: httpx.Client) -> None:
    documents = ["Organic skin care", "A harbour", "Fahrrad"]
    expected = {
        row["index"]: row["relevance_score"]
        for row in answer(twins, "/v1/rerank", query="skin", documents=documents)["results"]
    }
    for path in ("/rerank", "/v2/rerank", "/api/rerank"):
        results = answer(twins, path, query="skin", documents=documents, model=RERANKER)["results"]
        assert {row["index"]: row["relevance_score"] for row in results} == expected
    ranks = answer(twins, "/rerank", query="skin", texts=documents)
    assert {rank["index"]: round(rank["score"], 8) for rank in ranks} == expected
    raw = answer(twins, "/rerank", query="skin", texts=documents, raw_scores=True)
    for rank in raw:
        assert 1 / (1 + np.exp(-rank["score"])) == pytest.approx(expected[rank["index"]], abs=1e-6)
    pairs = answer(twins, "/predict", inputs=[["skin", document] for document in documents])
    assert [round(one["score"], 8) for [one] in pairs] == [expected[place] for place in range(3)]


def test_lists_of_models(twins: httpx.Client) -> None:
    ids = {model["id"] for model in twins.get("/v1/models").json()["data"]}
    tags = twins.get("/api/tags").json()["models"]
    assert {tag["name"].removesuffix(":latest") for tag in tags} == ids
    assert all(tag["size"] > 0 and len(tag["digest"]) == 64 for tag in tags)
    assert twins.get("/info").json()["model_id"]


def test_a_model_without_token_vectors_says_so(plain: httpx.Client) -> None:
    refused = plain.post("/embed_all", json={"inputs": "a"})
    assert (refused.status_code, refused.json()["error_type"]) == (424, "Backend")
