"""Servers' addresses and answers."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bench.target import embeddings_path, target_at, vectors
from gateway.errors import ConfigurationError
from tests.bench.servers import embeddings


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1/embeddings"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1/embeddings"),
        ("http://localhost:7997/v1/", "http://localhost:7997/v1/embeddings"),
        ("http://localhost:7997/embeddings", "http://localhost:7997/embeddings"),
        ("https://api.example.com/openai/v1", "https://api.example.com:443/openai/v1/embeddings"),
        ("http://[::1]:80", "http://[::1]:80/v1/embeddings"),
    ],
)
def test_a_url_may_name_the_server_or_its_api(url: str, asked: str) -> None:
    assert target_at(url, name="other", model="m").url == asked


@given(st.text(alphabet="abv1/", max_size=20).map(lambda text: f"/{text}"))
def test_a_path_that_was_made_is_taken_as_it_is(path: str) -> None:
    assert embeddings_path(embeddings_path(path)) == embeddings_path(path)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", "http://host:port", "", "http://h:99999"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no URL"):
        target_at(url, name="other", model="m")


@pytest.mark.parametrize("as_numbers", [False, True])
@given(texts=st.lists(st.text(max_size=5), min_size=1, max_size=8), data=st.data())
def test_vectors_come_in_the_order_of_the_texts(as_numbers: bool, texts: list[str], data: st.DataObject) -> None:
    answer = json.loads(embeddings(texts, as_numbers=as_numbers))
    answer["data"] = data.draw(st.permutations(answer["data"]))
    found = vectors(json.dumps(answer).encode())
    assert found.dtype == np.float32
    assert found.tolist() == [[len(text), place] for place, text in enumerate(texts)]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": [{}]}', b'{"data": []}', b'{"error": "x"}'])
def test_another_answer_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        vectors(body)
