"""Asks a running gateway for what jina-embeddings-v4 gives, and reads the answers as a client does."""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np

from tests.support.images import data_uri

TOLERANCE = 1e-4
WORDS = (
    "apples",
    "model",
    "search",
    "fox",
    "lazy",
    "dog",
    "naïve",
    "Größe",
    "你好",
    "世界",
    "🙂",
    "the",
    "a",
    ",",
    "3.14",
)
Given = str | bytes


class V4Client:
    """Texts are given as strings, images as their files' bytes."""

    def __init__(self, url: str) -> None:
        self.http = httpx.AsyncClient(base_url=url, timeout=120, trust_env=False, verify=False)

    async def post(self, *given: Given, model: str = "jina-embeddings-v4", **fields: object) -> httpx.Response:
        inputs = [one if isinstance(one, str) else {"image": data_uri(one)} for one in given]
        return await self.http.post("/v1/embeddings", json={"model": model, "input": inputs, **fields})

    async def answer(self, *given: Given, **fields: Any) -> dict[str, Any]:
        response = await self.post(*given, **fields)
        assert response.status_code == 200, response.text
        document: dict[str, Any] = response.json()
        assert [row["index"] for row in document["data"]] == list(range(len(given)))
        return document

    async def vectors(self, *given: Given, **fields: Any) -> np.ndarray:
        document = await self.answer(*given, **fields)
        return np.array([row["embedding"] for row in document["data"]])


def text_of(words: int, seed: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def floats(encoded: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(encoded), "<f4")


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    return error


def assert_like(found: np.ndarray, expected: Sequence[np.ndarray] | np.ndarray) -> None:
    """Rows of unit vectors: 1e-4 in each value, and a cosine of 0.9999 and more."""
    wanted = np.asarray(expected)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)
    assert float((found * wanted).sum(axis=-1).min()) >= 0.9999
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1.0, atol=1e-5)
