"""Requests that nobody sends on purpose, in the words of Ollama, Cohere, TEI, Azure and vLLM, to the whole gateway: an
answer of the right shape with finite numbers, or a refusal in that API's own words, never a failure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.triton

MODELS = [
    "jina-embeddings-v3", "jina-embeddings-v3:latest", "jinaai/jina-embeddings-v3-query",
    "jina-embeddings-v5-text-nano", "jina-embeddings-v2-base-en:latest",
]  # fmt: skip
RERANKER = "jina-reranker-v2-base-multilingual"
SIDES = ["query", "document", "search_query", "classification", "clustering", "image", "RETRIEVAL_QUERY", "sideways"]
TYPES = ["float", "int8", "uint8", "binary", "ubinary", "base64", "double"]

texts = st.text("aB \u00e4\u4e2d\U0001f680\u200b\u0301\u202e\n\x00", max_size=12) | st.just("word " * 400)
some_texts = st.lists(texts, min_size=1, max_size=4)
ids = st.lists(st.integers(0, 90), min_size=1, max_size=5)
models = st.sampled_from(MODELS)
sides = st.sampled_from(SIDES)
counts = st.integers(1, 40)
numbers = st.integers(-3, 70) | st.sampled_from([2**31, 2**63, -(2**63)])
plain = st.none() | st.booleans() | numbers | st.floats(-3, 300, allow_nan=False) | sides | texts
anything = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["text", "type", "content", "inputs", "task"]), inner, max_size=2)
    ),
    max_leaves=6,
)
sentences = st.fixed_dictionaries({"source_sentence": texts, "sentences": some_texts})
ranking = {"query": texts, "texts": some_texts}

Fields = dict[str, st.SearchStrategy[Any]]
Shape = Callable[[Any], bool]


def ollamas(body: Any) -> bool:
    return list(body) == ["error"] and isinstance(body["error"], str)


def coheres(body: Any) -> bool:
    return set(body) == {"message", "id"} and isinstance(body["message"], str)


def teis(body: Any) -> bool:
    return set(body) == {"error", "error_type"} and isinstance(body["error"], str)


def azures(body: Any) -> bool:
    return set(body["error"]) == {"code", "message", "param", "type"} and isinstance(body["error"]["code"], str)


def vllms(body: Any) -> bool:
    return set(body["error"]) == {"code", "message", "param", "type"} and isinstance(body["error"]["code"], int)


OF_OLLAMA: Fields = {
    "truncate": st.booleans(), "dimensions": counts, "keep_alive": plain,
    "options": st.dictionaries(st.sampled_from(["task", "input_type", "num_ctx"]), plain, max_size=2),
}  # fmt: skip
OF_COHERE: Fields = {
    "input_type": sides, "output_dimension": counts, "truncate": st.sampled_from(["NONE", "START", "END"]),
    "embedding_types": st.lists(st.sampled_from(TYPES), max_size=6), "max_tokens": counts,
}  # fmt: skip
OF_TEI: Fields = {
    "truncate": st.booleans(), "truncation_direction": st.sampled_from(["Left", "Right"]), "prompt_name": sides,
    "normalize": st.booleans(), "dimensions": counts, "token_vocabulary": st.sampled_from(["cl100k_base", "model"]),
    "parameters": st.dictionaries(st.sampled_from(["truncate", "normalize", "prompt_name"]), plain, max_size=2),
}  # fmt: skip
CONVERSATIONS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "assistant"]), "content": texts | some_texts}),
    max_size=3,
)
OF_VLLM: Fields = {
    "truncate_prompt_tokens": numbers, "truncation_side": st.sampled_from(["left", "right"]), "dimensions": counts,
    "use_activation": st.booleans(), "encoding_format": st.sampled_from(["float", "base64", "bytes", "bytes_only"]),
    "embed_dtype": st.sampled_from(["float32", "float16", "bfloat16", "fp8_e4m3", "fp8_e5m2", "int8"]),
    "endianness": st.sampled_from(["native", "little", "big"]), "messages": CONVERSATIONS | st.lists(CONVERSATIONS),
    "task": sides | st.sampled_from(["embed", "token_embed", "classify"]), "input_type": sides,
}  # fmt: skip
INSTANCES = st.lists(st.fixed_dictionaries({"inputs": some_texts, "model": models}), min_size=1, max_size=3)

# By path: how errors are put, what a request needs, and what it takes beside that.
SHAPES: dict[str, tuple[Shape, Fields, Fields]] = {
    "/api/embed": (ollamas, {"model": models, "input": texts | some_texts}, OF_OLLAMA),
    "/api/embeddings": (ollamas, {"model": models, "prompt": texts}, OF_OLLAMA),
    "/api/show": (ollamas, {"model": models}, {"verbose": st.booleans()}),
    "/v1/embed": (coheres, {"model": models, "texts": some_texts}, OF_COHERE),
    "/v2/embed": (coheres, {"model": models, "texts": some_texts}, OF_COHERE),
    "/v2/rerank": (
        coheres, {"query": texts, "documents": some_texts},
        {"top_n": numbers, "max_tokens_per_doc": numbers, "rank_fields": st.lists(texts, max_size=2)},
    ),
    "/v1/tokenize": (coheres, {"model": models, "text": texts}, {}),
    "/v1/detokenize": (coheres, {"model": models, "tokens": ids}, {}),
    "/embed": (teis, {"model": models, "inputs": texts | some_texts | ids | st.lists(ids | texts, max_size=3)}, OF_TEI),
    "/similarity": (teis, {"model": models, "inputs": sentences}, OF_TEI),
    "/predict": (
        teis, {"inputs": st.lists(texts, min_size=2, max_size=2) | st.lists(st.lists(texts, min_size=2, max_size=2))},
        {"raw_scores": st.booleans(), "truncate": st.booleans()},
    ),
    "/": (teis, {"inputs": texts | some_texts | sentences, "model": models}, OF_TEI),
    "/vertex": (teis, {"instances": INSTANCES | st.lists(st.fixed_dictionaries(ranking), max_size=2)}, {}),
    "/tokenize": (teis, {"model": models, "inputs": texts | some_texts}, {"prompt_name": sides}),
    "/openai/deployments/jina-embeddings-v3/embeddings": (azures, {"input": texts | some_texts | ids}, OF_VLLM),
    "/pooling": (vllms, {"model": models, "input": texts | some_texts | ids | st.lists(ids)}, OF_VLLM),
    "/score": (
        vllms, {"model": models | st.just(RERANKER), "queries": texts | some_texts, "documents": texts | some_texts},
        OF_VLLM | {"max_tokens_per_doc": numbers, "max_tokens_per_query": numbers},
    ),
    "/decode": (teis, {"model": models, "ids": ids | st.lists(ids, max_size=3)}, {"skip_special_tokens": plain}),
}  # fmt: skip


@st.composite
def requests(draw: st.DrawFn, needed: Fields, further: Fields) -> dict[str, Any]:
    """Mostly what the fields are for, some of them left out; in every third one or two of them are anything at all."""
    chosen = draw(st.sets(st.sampled_from(list(further)))) if further else set[str]()
    body = {name: draw(strategy) for name, strategy in (needed | further).items() if name in {*needed, *chosen}}
    is_spoilt = draw(st.integers(0, 2)) == 0
    names = st.sampled_from([*needed, *further])
    return body | (draw(st.dictionaries(names, anything, min_size=1, max_size=2)) if is_spoilt else {})


def is_finite(value: Any) -> bool:
    """Every number in it is one, and no list of numbers holds nothing but zeros."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    if isinstance(value, list):
        numbers = [one for one in value if isinstance(one, float)]
        return all(map(is_finite, value)) and (len(numbers) < 8 or any(numbers))
    return True


@pytest.fixture(scope="module")
def client(twin_gateway_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=twin_gateway_url, timeout=60) as made:
        yield made


@pytest.mark.parametrize("path", SHAPES)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_any_request_is_answered_or_refused_in_the_words_of_its_api(
    client: httpx.Client, path: str, data: st.DataObject
) -> None:
    is_refusal, needed, further = SHAPES[path]
    body = data.draw(requests(needed, further))
    answer = client.post(path, json=body)
    if answer.headers["content-type"] == "application/octet-stream":
        assert answer.status_code == 200
        assert any(answer.content), body
    elif answer.status_code == 200:
        assert is_finite(answer.json()), body
    else:
        assert answer.status_code in (400, 404, 413, 422, 424), (body, answer.text)
        assert is_refusal(answer.json()), (body, answer.text)
