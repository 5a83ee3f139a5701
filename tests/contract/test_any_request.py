"""Requests that nobody sends on purpose, to the whole gateway: an answer or a refusal in words, never a failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.edge import check_error

pytestmark = pytest.mark.triton

MODELS = [
    "jina-embeddings-v3", "jina-embeddings-v3-query", "jina-embeddings-v3:separation", "jina-embeddings-v5-text-nano",
    "jina-embeddings-v5-text", "jina-embeddings-v2-base-en",
]  # fmt: skip
RERANKER = "jina-reranker-v2-base-multilingual"
TASKS = ["retrieval.query", "retrieval.passage", "separation", "clustering", "classification", "text-matching", "query"]
TYPES = ["float", "base64", "binary", "ubinary"]

texts = st.text("aB \u00e4\u4e2d\U0001f680\u200b\u0301\u202e\n\x00", max_size=12)
some_texts = st.lists(texts, min_size=1, max_size=4)
labels = st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3)
counts = st.integers(1, 20)
numbers = st.integers(-3, 70) | st.sampled_from([2**31, 2**63, -(2**63)])
words = st.sampled_from([*MODELS, RERANKER, "none", *TASKS, *TYPES, "cl100k_base", "model", ""])
plain = st.none() | st.booleans() | numbers | st.floats(-3, 300, allow_nan=False) | words | texts
anything = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["text", "type", "image", "g"]), inner, max_size=2)
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
            "token_vocabulary": st.sampled_from(["cl100k_base", "model"]),
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


@st.composite
def requests(draw: st.DrawFn, path: str) -> dict[str, Any]:
    """Mostly what the fields are for, some of them left out; in every third one or two of them are anything at all."""
    needed, further = SHAPES[path]
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
    body = data.draw(requests(path))
    answer = client.post(path, json=body)
    if answer.status_code != 200:
        assert answer.status_code in (400, 404), (body, answer.text)
        check_error(answer, answer.status_code)
