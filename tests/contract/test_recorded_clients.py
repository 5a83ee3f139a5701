"""What clients of all these APIs put on the wire, played against the gateway in front of a real Triton.

Each file of `recorded/` is one client: its headers, its bodies, and the parser of `client_parsers.py` that reads as it
does. In a body, "@native" and "@half" stand for the model's size and half of it, "@too long" for a text beyond its
window, "@cl100k" for the token ids of the exchange's `texts`, "@first" and "@second" for an image in base64, and
"@first as URI" for the same as a data URI.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tiktoken

from tests.contract.client_parsers import PARSERS, Ranking
from tests.support.images import data_uri, image_file

pytestmark = pytest.mark.triton

TOLERANCE = 1e-5
READS_IMAGES = "jina-embeddings-v4"
FILES = {"@first": image_file(40, 90, seed=1), "@second": image_file(120, 60, seed=2, kind="JPEG")}
PLAIN_IMAGES = {name: {"image": data_uri(file)} for name, file in FILES.items()}
IMAGES = {
    **{name: data_uri(file).partition(",")[2] for name, file in FILES.items()},
    **{f"{name} as URI": data_uri(file) for name, file in FILES.items()},
}


@dataclass(frozen=True)
class Exchange:
    what: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    parser: str
    status: int = 200
    texts: tuple[str, ...] = ()


def recorded() -> Iterator[Any]:
    for file in sorted((Path(__file__).parent / "recorded").glob("*.json")):
        client = json.loads(file.read_text(encoding="utf-8"))
        for one in client["exchanges"]:
            yield pytest.param(Exchange(headers=client["headers"], **one), id=f"{file.stem}: {one['what']}")


EXCHANGES = list(recorded())


@pytest.fixture(scope="module")
def client(twin_gateway_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=twin_gateway_url, timeout=60) as made:
        yield made


@pytest.fixture(scope="module")
def v4_client(v4_gateway_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=v4_gateway_url, timeout=60) as made:
        yield made


def body_of(exchange: Exchange, client: httpx.Client, cl100k: tiktoken.Encoding) -> dict[str, Any]:
    body: dict[str, Any] = with_images(exchange.body)
    models = {model["id"]: model for model in client.get("/v1/models").json()["data"]}
    facts = models.get(body.get("model", ""), {})
    sizes = {"@native": facts.get("dimensions"), "@half": (facts.get("dimensions") or 0) // 2}
    if body.get("dimensions") in sizes:
        body["dimensions"] = sizes[body["dimensions"]]
    if body.get("input") == ["@too long"]:
        body["input"] = ["word " * (facts["max_tokens"] + 10)]
    if body.get("input") == "@cl100k":
        body["input"] = [cl100k.encode(text) for text in exchange.texts]
    return body


def with_images(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: with_images(one) for name, one in value.items()}
    if isinstance(value, list):
        return [with_images(one) for one in value]
    return IMAGES.get(value, value) if isinstance(value, str) else value


def exchanges_with(*, images: bool) -> list[Any]:
    return [one for one in EXCHANGES if (one.values[0].body.get("model") == READS_IMAGES) is images]


@pytest.mark.parametrize("exchange", exchanges_with(images=False))
def test_every_recorded_request_is_answered_as_its_client_reads_it(
    exchange: Exchange, client: httpx.Client, cl100k_base: tiktoken.Encoding
) -> None:
    check_exchange(exchange, client, cl100k_base)


@pytest.mark.parametrize("exchange", exchanges_with(images=True))
def test_so_is_every_one_with_images(
    exchange: Exchange, v4_client: httpx.Client, cl100k_base: tiktoken.Encoding
) -> None:
    check_exchange(exchange, v4_client, cl100k_base)


def check_exchange(exchange: Exchange, client: httpx.Client, cl100k: tiktoken.Encoding) -> None:
    body = body_of(exchange, client, cl100k)
    answer = client.post(exchange.path, json=body, headers=exchange.headers)
    assert answer.status_code == exchange.status, answer.text
    read = PARSERS[exchange.parser](answer)
    if isinstance(read, Ranking):
        check_ranking(read, body, client)
    elif isinstance(read, np.ndarray):
        check_vectors(read, body, exchange, client)
    elif exchange.parser == "segments":
        assert "".join(read) == body["content"]
    elif exchange.parser == "classes":
        assert len(read) == len(body["input"])


def check_vectors(read: np.ndarray, body: dict[str, Any], exchange: Exchange, client: httpx.Client) -> None:
    """Vectors are those that each text or image gets on its own, in the order sent; of a whole document only their size
    is known here."""
    inputs = exchange.texts or tuple(plain_inputs(exchange.body["input"]))
    expected = np.stack([plain_vector(one, body, client) for one in inputs])
    assert read.shape == expected.shape
    if body.get("late_chunking"):
        assert np.allclose(np.linalg.norm(read, axis=1), 1, atol=TOLERANCE)
    elif read.dtype == bool:
        sure = np.abs(expected) > TOLERANCE
        assert np.array_equal(read[sure], (expected > 0)[sure])
    else:
        assert np.abs(read - expected).max() <= TOLERANCE


def plain_inputs(value: Any) -> Iterator[str | dict[str, str]]:
    """Each text as a string, and each image by its usual field."""
    for item in [value] if isinstance(value, str) else value:
        strings = [item] if isinstance(item, str) else list(item.values())
        names = [one.removesuffix(" as URI") for one in strings if one in IMAGES]
        yield PLAIN_IMAGES[names[0]] if names else next(texts_of([item]))


def plain_vector(given: str | dict[str, str], body: dict[str, Any], client: httpx.Client) -> np.ndarray:
    asked = {name: body[name] for name in ("model", "task", "dimensions", "normalized", "prompt_name") if name in body}
    answer = client.post("/v1/embeddings", json={**asked, "input": given})
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["data"][0]["embedding"], np.float32)


def check_ranking(read: Ranking, body: dict[str, Any], client: httpx.Client) -> None:
    """Each document has the score that it gets on its own, and the best come first."""
    texts = list(texts_of(body["documents"]))
    assert len(read.indices) == len(set(read.indices)) == min(body.get("top_n") or len(texts), len(texts))
    assert read.scores == sorted(read.scores, reverse=True)
    if read.documents is not None:
        assert read.documents == [texts[index] for index in read.indices]
    scores = [plain_score(text, body, client) for text in texts]
    assert np.allclose(read.scores, [scores[index] for index in read.indices], atol=TOLERANCE)
    assert max(scores) == pytest.approx(read.scores[0], abs=TOLERANCE)


def plain_score(text: str, body: dict[str, Any], client: httpx.Client) -> float:
    asked = {"model": body["model"], "query": body["query"], "documents": [text]}
    answer = client.post("/v1/rerank", json=asked)
    assert answer.status_code == 200, answer.text
    return float(answer.json()["results"][0]["relevance_score"])


def texts_of(value: Any) -> Iterator[str]:
    for item in [value] if isinstance(value, str) else value:
        yield item if isinstance(item, str) else item["text"]


def test_every_client_is_there_and_says_what_it_needs() -> None:
    clients = {file.stem for file in (Path(__file__).parent / "recorded").glob("*.json")}
    assert clients == {
        "cohere", "dify", "elasticsearch_custom", "elasticsearch_jinaai", "elasticsearch_openai", "haystack",
        "jina_mcp", "langchain_js", "langchain_openai", "langchain_python", "litellm", "llama_index_embedding",
        "llama_index_rerank", "llamaindex_ts", "ollama", "open_webui", "vercel_jina_ai_provider",
    }  # fmt: skip
    assert {one.values[0].parser for one in EXCHANGES} == set(PARSERS)
