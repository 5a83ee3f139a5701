"""Requests that nobody sends on purpose, to the whole gateway: an answer or a refusal in words, never a failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import V4
from tests.support.edge import check_error
from tests.support.images import data_uri, image_file

pytestmark = pytest.mark.triton

MODELS = [
    "jina-embeddings-v3", "jina-embeddings-v3-query", "jina-embeddings-v3:separation", "jina-embeddings-v5-text-nano",
    "jina-embeddings-v5-text", "jina-embeddings-v2-base-en",
]  # fmt: skip
RERANKER = "jina-reranker-v2-base-multilingual"
TASKS = ["retrieval.query", "retrieval.passage", "separation", "clustering", "classification", "text-matching", "query"]
TYPES = ["float", "base64", "binary", "ubinary"]
IMAGE_KEYS = ["image", "url", "image_url", "bytes", "image_base64", "pdf", "text"]

texts = st.text("aB \u00e4\u4e2d\U0001f680\u200b\u0301\u202e\n\x00", max_size=12)
some_texts = st.lists(texts, min_size=1, max_size=4)
labels = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3)
counts = st.integers(1, 20)
numbers = st.integers(-3, 70) | st.sampled_from([2**31, 2**63, -(2**63)])
images = st.sampled_from([
    data_uri(image_file(30, 60)), data_uri(image_file(1, 1)), data_uri(b"no image"), data_uri(image_file(60, 60)[:-40]),
    "data:image/png;base64,", "data:image/svg+xml;base64,PHN2Zy8+", "http://127.0.0.1/a.png", "file:///etc/passwd",
    "iVBORw0KGgo", "!", "",
])  # fmt: skip
image_objects = st.builds(lambda key, image: {key: image}, st.sampled_from(IMAGE_KEYS), images)
words = st.sampled_from([*MODELS, RERANKER, "none", *TASKS, *TYPES, "cl100k_base", "model", ""])
plain = st.none() | st.booleans() | numbers | st.floats(-3, 300, allow_nan=False) | words | texts
anything = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["text", "type", "value", "content", *IMAGE_KEYS]), inner, max_size=2)
    ),
    max_leaves=6,
)

Fields = dict[str, st.SearchStrategy[Any]]

# What each endpoint needs, and what it takes beside that.
SHAPES: dict[str, tuple[Fields, Fields]] = {
    "/v1/embeddings": (
        {"model": st.sampled_from(MODELS), "input": some_texts | st.lists(st.integers(0, 90), min_size=1, max_size=5)},
        {
            "task": st.sampled_from(TASKS), "input_type": st.sampled_from(["query", "document"]), "dimensions": counts,
            "embedding_type": st.sampled_from(TYPES) | st.lists(st.sampled_from(TYPES), min_size=1, max_size=3),
            "truncate": st.booleans(), "late_chunking": st.booleans(), "normalized": st.booleans(),
            "token_vocabulary": st.sampled_from(["cl100k_base", "model"]), "return_multivector": st.booleans(),
            "return_tokenized_input": st.booleans(),
        },
    ),
    "/v1/rerank": (
        {"query": texts, "documents": some_texts},
        {
            "model": st.just(RERANKER), "top_n": st.integers(0, 5), "max_doc_length": counts,
            "truncation": st.booleans(), "return_documents": st.booleans(),
        },
    ),
    "/v1/classify": (
        {
            "model": st.sampled_from(MODELS), "input": some_texts,
            "labels": labels | st.dictionaries(texts, labels, min_size=1, max_size=2),
        },
        {"task": st.sampled_from(TASKS), "truncate": st.booleans()},
    ),
    "/v1/segment": (
        {"content": texts},
        {
            "tokenizer": st.sampled_from(["cl100k_base", "o200k_base", *MODELS]), "return_tokens": st.booleans(),
            "return_chunks": st.booleans(), "max_chunk_length": counts, "head": counts,
        },
    ),
}  # fmt: skip


# The same for a model that reads images and gives a vector a token.
V4_TASKS = ["retrieval.query", "retrieval.passage", "text-matching", "code.query", "code.passage"]
V4_INPUTS = st.lists(texts | images | image_objects, min_size=1, max_size=3)
V4_SHAPES: dict[str, tuple[Fields, Fields]] = {
    "/v1/embeddings": (
        {"model": st.just(V4), "input": V4_INPUTS | images | image_objects},
        SHAPES["/v1/embeddings"][1] | {"task": st.sampled_from(V4_TASKS)},
    ),
    "/v1/classify": (
        {"model": st.just(V4), "input": V4_INPUTS, "labels": labels},
        {"task": st.sampled_from(V4_TASKS), "truncate": st.booleans()},
    ),
}


@st.composite
def requests(draw: st.DrawFn, shape: tuple[Fields, Fields]) -> dict[str, Any]:
    """Mostly what the fields are for, some of them left out; in every third one or two of them are anything at all."""
    needed, further = shape
    chosen = draw(st.sets(st.sampled_from(list(further))))
    body = {name: draw(strategy) for name, strategy in (needed | further).items() if name in {*needed, *chosen}}
    is_spoilt = draw(st.integers(0, 2)) == 0
    names = st.sampled_from([*needed, *further])
    return body | (draw(st.dictionaries(names, anything, min_size=1, max_size=2)) if is_spoilt else {})


@pytest.fixture(scope="module")
def client(twin_gateway_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=twin_gateway_url, timeout=60) as made:
        yield made


@pytest.mark.parametrize("path", SHAPES)
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_any_request_is_answered_or_refused_in_words(client: httpx.Client, path: str, data: st.DataObject) -> None:
    check(client, path, data.draw(requests(SHAPES[path])))


@pytest.fixture(scope="module")
def v4_client(v4_gateway_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=v4_gateway_url, timeout=60) as made:
        yield made


@pytest.mark.parametrize("path", V4_SHAPES)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_so_is_any_with_images(v4_client: httpx.Client, path: str, data: st.DataObject) -> None:
    check(v4_client, path, data.draw(requests(V4_SHAPES[path])))


def check(client: httpx.Client, path: str, body: dict[str, Any]) -> None:
    answer = client.post(path, json=body)
    if answer.status_code != 200:
        assert answer.status_code in (400, 404), (body, answer.text)
        check_error(answer, answer.status_code)
