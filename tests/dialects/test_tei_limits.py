"""What callers of TEI's API might get round: limits by wrapping requests, words by null, time by asking for tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway.types import Overflow, TokenInput, Vocabulary
from tests.support.edge import Edge, edge


@pytest.fixture
def own() -> Iterator[Edge]:
    with edge(max_inputs=32) as running:
        yield running


@pytest.fixture(scope="module")
def many() -> Iterator[Edge]:
    """For very many requests."""
    with edge(max_inputs=32) as running:
        yield running


def post(running: Edge, path: str, **fields: Any) -> httpx.Response:
    return running.client.post(path, json=fields)


def check_error(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error", "error_type"}


@pytest.mark.parametrize(
    "instances",
    [
        [{"inputs": "a"}] * 33,
        [{"inputs": ["a"] * 17}, {"inputs": ["a"] * 16}],
        [{"inputs": [[1]] * 17}, {"inputs": ["a"] * 16}],
        [{"query": "q", "texts": ["a"] * 17}, {"inputs": ["a"] * 16}],
        [{"parameters": {"inputs": ["a"] * 17}}, {"inputs": ["a"] * 16}],
        [{"inputs": {"source_sentence": "a", "sentences": ["a"] * 16}}, {"inputs": ["a"] * 16}],
    ],
)
def test_vertex_takes_no_more_inputs_than_one_request_does(own: Edge, instances: list[dict[str, Any]]) -> None:
    check_error(post(own, "/vertex", instances=instances), 413)
    assert own.services.embedder.seen == []
    assert own.services.reranker.seen == []


def test_vertex_takes_as_many_inputs_as_one_request_does(own: Edge) -> None:
    instances = [{"inputs": ["a"] * 16}, {"inputs": list(range(100))}, {"query": "q", "texts": ["a"] * 15}]
    assert len(post(own, "/vertex", instances=instances).json()["predictions"]) == 3


def test_vertex_passes_warnings_on(own: Edge) -> None:
    own.services.embedder.warnings = ("Something to know.",)
    answer = post(own, "/vertex", instances=[{"inputs": "a"}, {"inputs": "b"}])
    assert answer.headers.get_list("x-gateway-warning") == ["Something to know."]


def test_a_null_leaves_the_word_to_parameters(own: Edge) -> None:
    parameters = {"truncate": False, "normalize": False, "dimensions": 8, "prompt_name": "query"}
    for path in ("/embed", "/"):
        post(own, path, inputs="a", parameters=parameters, **dict.fromkeys(parameters))
    post(own, "/embed", inputs="a", parameters=parameters, truncate=True, normalize=True, dimensions=4, prompt_name="x")
    whole, front, over = own.services.embedder.seen
    for seen in (whole, front):
        assert (seen.overflow, seen.normalised, seen.dimensions, seen.side) == (Overflow.REFUSE, False, 8, "query")
    assert (over.overflow, over.normalised, over.dimensions, over.side) == (Overflow.TRUNCATE, True, 4, "x")


def test_ids_are_of_the_models_vocabulary_unless_the_request_says_otherwise(own: Edge) -> None:
    for inputs in ([1, 2], [[1, 2]], ["a", [1, 2]]):
        post(own, "/embed", inputs=inputs)
        post(own, "/embed", inputs=inputs, token_vocabulary="cl100k_base")
        own.client.post("/embed", json={"inputs": inputs}, headers={"x-token-vocabulary": "cl100k_base"})
    ids = [item for seen in own.services.embedder.seen for item in seen.inputs if isinstance(item, TokenInput)]
    assert [item.vocabulary for item in ids] == [
        Vocabulary.MODEL, Vocabulary.CL100K_BASE, Vocabulary.CL100K_BASE,
    ] * 3  # fmt: skip
    check_error(post(own, "/embed", inputs=[1], token_vocabulary="o200k_base"), 422)


def test_what_only_reads_tokens_has_a_deadline_too() -> None:
    with edge(request_timeout_seconds=0.05) as running:
        running.services.tokenizer.hold = True
        calls: list[tuple[str, dict[str, Any]]] = [
            ("/tokenize", {"inputs": "a"}), ("/tokenize", {"prompt": "a"}), ("/decode", {"ids": [1]}),
            ("/detokenize", {"tokens": [1]}), ("/v1/tokenize", {"text": "a"}), ("/v1/detokenize", {"tokens": [1]}),
        ]  # fmt: skip
        for path, fields in calls:
            assert post(running, path, **fields).status_code == 504


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["source_sentence", "sentences", "inputs"]), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = (
    "inputs", "truncate", "truncation_direction", "prompt_name", "normalize", "dimensions", "query", "texts",
    "raw_scores", "return_text", "parameters", "ids", "tokens", "prompt", "instances", "model", "add_special_tokens",
)  # fmt: skip
PATHS = (
    "/", "/embed", "/embed_all", "/predict", "/similarity", "/tokenize", "/decode", "/detokenize", "/vertex",
)  # fmt: skip


@hypothesis_settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(PATHS), fields=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=5))
def test_any_json_is_answered_or_refused_in_teis_words(many: Edge, path: str, fields: dict[str, Any]) -> None:
    answer = many.client.post(path, json=fields)
    is_vllms = path == "/detokenize" or (path == "/tokenize" and fields.get("inputs") is None and "prompt" in fields)
    if answer.status_code != 200:
        assert answer.status_code in (400, 404, 413, 422, 424)
        if is_vllms and isinstance(answer.json()["error"], dict):
            assert answer.json()["error"]["code"] == answer.status_code
        else:
            check_error(answer, answer.status_code)
