"""What clients of Jina's and OpenAI's APIs put on the wire, played against the gateway in front of a real Triton.

Each file of `recorded/` is one client: its headers, its bodies, and the parser of `client_parsers.py` that reads as it
does. In a body, "@native" and "@half" stand for the model's size and half of it, "@too long" for a
text beyond its window and "@cl100k" for the token ids of the exchange's `texts`.
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

pytestmark = pytest.mark.triton

TOLERANCE = 1e-5


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
def models(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {model["id"]: model for model in client.get("/v1/models").json()["data"]}


def body_of(exchange: Exchange, models: dict[str, dict[str, Any]], cl100k: tiktoken.Encoding) -> dict[str, Any]:
    body = dict(exchange.body)
    facts = models.get(body.get("model", ""), {})
    sizes = {"@native": facts.get("dimensions"), "@half": (facts.get("dimensions") or 0) // 2}
    if body.get("dimensions") in sizes:
        body["dimensions"] = sizes[body["dimensions"]]
    if body.get("input") == ["@too long"]:
        body["input"] = ["word " * (facts["max_tokens"] + 10)]
    if body.get("input") == "@cl100k":
        body["input"] = [cl100k.encode(text) for text in exchange.texts]
    return body


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_recorded_request_is_answered_as_its_client_reads_it(
    exchange: Exchange, client: httpx.Client, models: dict[str, dict[str, Any]], cl100k_base: tiktoken.Encoding
) -> None:
    body = body_of(exchange, models, cl100k_base)
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
    """Vectors are those that each text gets on its own, in the order sent; of a whole document only their size is
    known here."""
    texts = exchange.texts or tuple(texts_of(body["input"]))
    expected = np.stack([plain_vector(text, body, client) for text in texts])
    assert read.shape == expected.shape
    if body.get("late_chunking"):
        assert np.allclose(np.linalg.norm(read, axis=1), 1, atol=TOLERANCE)
    elif read.dtype == bool:
        sure = np.abs(expected) > TOLERANCE
        assert np.array_equal(read[sure], (expected > 0)[sure])
    else:
        assert np.abs(read - expected).max() <= TOLERANCE


def plain_vector(text: str, body: dict[str, Any], client: httpx.Client) -> np.ndarray:
    asked = {name: body[name] for name in ("model", "task", "dimensions", "normalized", "prompt_name") if name in body}
    answer = client.post("/v1/embeddings", json={**asked, "input": text})
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
        "dify", "elasticsearch_custom", "elasticsearch_jinaai", "elasticsearch_openai", "haystack", "jina_mcp",
        "langchain_js", "langchain_openai", "langchain_python", "litellm", "llama_index_embedding",
        "llama_index_rerank", "llamaindex_ts", "open_webui", "vercel_jina_ai_provider",
    }  # fmt: skip
    assert {one.values[0].parser for one in EXCHANGES} == set(PARSERS)
