"""What clients of all these APIs put on the wire, played against the gateway in front of a real Triton.

Each file of `recorded/` is one client: its headers, its bodies, and the parser of `client_parsers.py` that reads as it
does. `texts` are what an exchange is about where that does not stand in `input`, `meant` is what its words mean in the
words of `/v1/embeddings`. In a body, "@native" and "@half" stand for the model's size and half of it, "@too long" for
a text beyond its window, "@cl100k" for the token ids of `texts`, "@cl100k of one" for those of the first alone,
"@first" and "@second" for an image in base64, and "@first as URI" for the same as a data URI.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tiktoken

from tests.contract.client_parsers import PARSERS, Ranking
from tests.contract.named_clients import RECORDED, SERVERS, UNRECORDED
from tests.support.images import data_uri, image_file

pytestmark = pytest.mark.triton

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-5
READS_IMAGES = "jina-embeddings-v4"
SERVED = "jina-embeddings-v3"
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
    parser: str
    body: dict[str, Any] = field(default_factory=dict)
    method: str = "POST"
    status: int = 200
    texts: tuple[str, ...] = ()
    meant: dict[str, Any] = field(default_factory=dict)


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
def plain_client(gateway_url: str) -> Iterator[httpx.Client]:
    """Of a gateway with one embedding model, for clients that have no word for which."""
    with httpx.Client(base_url=gateway_url, timeout=60) as made:
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
    for name in ("input", "inputs"):
        if body.get(name) == ["@too long"]:
            body[name] = ["word " * (facts["max_tokens"] + 10)]
    ids = [cl100k.encode(text) for text in exchange.texts]
    if body.get("input") in ("@cl100k", "@cl100k of one"):
        body["input"] = ids if body["input"] == "@cl100k" else ids[0]
    return body


def with_images(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: with_images(one) for name, one in value.items()}
    if isinstance(value, list):
        return [with_images(one) for one in value]
    return IMAGES.get(value, value) if isinstance(value, str) else value


def exchanges_at(place: str) -> list[Any]:
    return [one for one in EXCHANGES if place_of(one.values[0].body) == place]


def place_of(body: dict[str, Any]) -> str:
    """Which gateway has what a request needs."""
    if body.get("model") == READS_IMAGES:
        return "images"
    return "one model" if "inputs" in body and "model" not in body else "models"


@pytest.mark.parametrize("exchange", exchanges_at("models"))
def test_every_recorded_request_is_answered_as_its_client_reads_it(
    exchange: Exchange, client: httpx.Client, cl100k_base: tiktoken.Encoding
) -> None:
    check_exchange(exchange, client, cl100k_base)


@pytest.mark.parametrize("exchange", exchanges_at("one model"))
def test_so_is_every_one_that_names_no_model(
    exchange: Exchange, plain_client: httpx.Client, cl100k_base: tiktoken.Encoding
) -> None:
    check_exchange(exchange, plain_client, cl100k_base)


@pytest.mark.parametrize("exchange", exchanges_at("images"))
def test_so_is_every_one_with_images(
    exchange: Exchange, v4_client: httpx.Client, cl100k_base: tiktoken.Encoding
) -> None:
    check_exchange(exchange, v4_client, cl100k_base)


def check_exchange(exchange: Exchange, client: httpx.Client, cl100k: tiktoken.Encoding) -> None:
    body = body_of(exchange, client, cl100k)
    answer = client.request(exchange.method, exchange.path, json=body or None, headers=exchange.headers)
    assert answer.status_code == exchange.status, answer.text
    read = PARSERS[exchange.parser](answer)
    if isinstance(read, Ranking):
        check_ranking(read, body, client, is_cut=exchange.parser != "tei_ranking")
    elif isinstance(read, np.ndarray):
        check_vectors(read, body, exchange, client)
    elif exchange.parser == "segments":
        assert "".join(read) == body["content"]
    elif exchange.parser == "classes":
        assert len(read) == len(body["input"])
    elif exchange.parser == "tei_tokens":
        assert len(read) == len(body["inputs"])
    elif exchange.method == "GET":
        assert exchange.parser == "tei_info" or SERVED in read


def check_vectors(read: np.ndarray, body: dict[str, Any], exchange: Exchange, client: httpx.Client) -> None:
    """Vectors are those that each text or image gets on its own, in the order sent; of a whole document only their size
    is known here."""
    inputs = exchange.texts or tuple(plain_inputs(exchange.body["input"]))
    expected = np.stack([plain_vector(one, body | exchange.meant, client) for one in inputs])
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


def check_ranking(read: Ranking, body: dict[str, Any], client: httpx.Client, *, is_cut: bool) -> None:
    """Each document has the score that it gets on its own, and the best come first. `is_cut`: there are `top_n`."""
    texts = list(texts_of(body.get("documents") or body["texts"]))
    count = min(body.get("top_n") or len(texts), len(texts)) if is_cut else len(texts)
    assert len(read.indices) == len(set(read.indices)) == count
    assert read.scores == sorted(read.scores, reverse=True)
    if read.documents is not None:
        assert read.documents == [texts[index] for index in read.indices]
    scores = [plain_score(text, body, client) for text in texts]
    assert np.allclose(read.scores, [scores[index] for index in read.indices], atol=TOLERANCE)
    assert max(scores) == pytest.approx(read.scores[0], abs=TOLERANCE)


def plain_score(text: str, body: dict[str, Any], client: httpx.Client) -> float:
    asked = {"model": body.get("model"), "query": body["query"], "documents": [text]}
    answer = client.post("/v1/rerank", json=asked)
    assert answer.status_code == 200, answer.text
    return float(answer.json()["results"][0]["relevance_score"])


def texts_of(value: Any) -> Iterator[str]:
    for item in [value] if isinstance(value, str) else value:
        yield item if isinstance(item, str) else item["text"]


def test_every_recording_is_a_named_clients_and_every_parser_is_needed() -> None:
    files = {file.stem for file in (Path(__file__).parent / "recorded").glob("*.json")}
    assert files == {name for names in RECORDED.values() for name in names}
    assert {one.values[0].parser for one in EXCHANGES} == set(PARSERS)


def test_every_named_client_is_recorded_or_there_is_a_reason_and_a_test() -> None:
    names = [*RECORDED, *UNRECORDED, *SERVERS]
    assert len(names) == len({name.lower() for name in names})
    for reason in UNRECORDED.values():
        file, _, test = reason.test.partition("::")
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), reason.test
        assert reason.why.endswith(".")


def test_nothing_recorded_is_anybodys_key() -> None:
    for exchange in (one.values[0] for one in EXCHANGES):
        keys = [value for name, value in exchange.headers.items() if name.lower() in ("authorization", "api-key")]
        assert all(set(key.rpartition("_")[2].rpartition("-")[2]) <= {"0"} or key == "Bearer key" for key in keys)
