"""Rerank fields under all their names, in all their forms."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.dialects.rerank_request import RerankCall, parse_rerank_call
from gateway.errors import InvalidField, TooManyInputs
from gateway.types import LongDocuments, RerankRequest

CANARY = "canary-8c1f"
PLAIN = {"query": "q", "documents": ["a", "b"]}


def parse(fields: dict[str, Any], max_inputs: int = 8) -> RerankCall:
    return parse_rerank_call(fields, max_inputs=max_inputs, deadline=1.0)


def test_the_shortest_request() -> None:
    request = RerankRequest(query="q", documents=("a", "b"), deadline=1.0)
    assert parse(PLAIN) == RerankCall(request, ["a", "b"], None, True)
    names = ["model", "top_n", "top_k", "return_documents", "max_doc_length", "truncation", "truncate", "texts"]
    assert parse({**PLAIN, **dict.fromkeys(names)}) == parse(PLAIN)


@pytest.mark.parametrize("name", ["documents", "texts", "docs", "passages"])
def test_documents_in_all_their_forms(name: str) -> None:
    documents = ["a", {"text": "b"}, {"type": "text", "text": "c", "id": 7}]
    assert parse({"query": "q", name: documents}).request.documents == ("a", "b", "c")


@pytest.mark.parametrize("query", ["q", "", {"text": "q"}, {"type": "text", "text": "q"}])
def test_accepted_queries(query: Any) -> None:
    assert parse({**PLAIN, "query": query}).request.query in ("q", "")


@pytest.mark.parametrize(
    "query", [None, 1, True, [], ["q"], {}, {"text": 1}, {"image": "x"}, {"text": "q", "image": "x"}]
)
def test_refused_queries(query: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        parse({**PLAIN, "query": query})
    assert caught.value.param == "query"


@pytest.mark.parametrize(
    "value", [None, "a", 1, [], {}, [1], [None], [["a"]], [{}], [{"image": "x"}], ["a", {"text": None}]]
)
def test_refused_documents(value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        parse({"query": "q", "texts": value} if value is not None else {"query": "q"})
    assert caught.value.param == ("texts" if value is not None else "documents")


def test_too_many_documents() -> None:
    with pytest.raises(TooManyInputs, match="9 items and the limit is 8"):
        parse({"query": "q", "documents": ["a"] * 9})


@pytest.mark.parametrize("name", ["top_n", "top_k"])
@pytest.mark.parametrize(("value", "expected"), [(None, None), (0, None), (1, 1), (7, 7), (2**40, 2**40)])
def test_top_n(name: str, value: Any, expected: int | None) -> None:
    assert parse({**PLAIN, name: value}).top_n == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"truncation": None, "truncate": None}, None),
        ({"truncation": True}, LongDocuments.TRUNCATE),
        ({"truncate": True}, LongDocuments.TRUNCATE),
        ({"truncation": False}, LongDocuments.CHUNK),
        ({"truncation": False, "truncate": True}, LongDocuments.CHUNK),
    ],
)
def test_long_documents(fields: dict[str, Any], expected: LongDocuments | None) -> None:
    assert parse({**PLAIN, **fields}).request.long_documents is expected


@pytest.mark.parametrize(("kept", "most"), [(64, 64), (-1, None)])
def test_pairs_are_cut_by_vllms_word_whatever_else_is_said(kept: int, most: int | None) -> None:
    request = parse({**PLAIN, "truncate_prompt_tokens": kept, "truncation": False}).request
    assert (request.long_documents, request.max_pair_tokens) == (LongDocuments.TRUNCATE, most)
    assert parse(PLAIN).request.max_pair_tokens is None


@pytest.mark.parametrize("name", ["max_doc_length", "max_tokens_per_doc"])
def test_the_length_of_documents(name: str) -> None:
    assert parse({**PLAIN, name: 128}).request.max_document_tokens == 128


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name, values in {
            "top_n": [-1, 1.5, "3", True, [], {}],
            "top_k": [-1, 2.0],
            "max_doc_length": [0, -1, 1.5, "3", True],
            "max_tokens_per_doc": [0],
            "return_documents": [0, 1, "true", []],
            "raw_scores": [0, "true"],
            "use_activation": [0, "true"],
            "truncation": ["END", 1],
            "truncate": ["END", 1],
            "return_embeddings": [True, 1],
            "model": [1, []],
        }.items()
        for value in values
    ],
)
def test_refused_fields(name: str, value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        parse({**PLAIN, name: value})
    assert caught.value.param == name


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab", max_size=4).map(lambda text: CANARY + text),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "text", "type", "image"]), inner, max_size=3)
    ),
    max_leaves=12,
)
FIELDS = (
    "query", "documents", "texts", "docs", "passages", "top_n", "top_k", "return_documents", "max_doc_length",
    "max_tokens_per_doc", "truncation", "truncate", "return_embeddings", "raw_scores", "use_activation", "model",
    "other",
)  # fmt: skip


@settings(max_examples=300)
@given(fields=st.dictionaries(st.sampled_from(FIELDS), json_values), is_complete=st.booleans())
def test_any_json_is_translated_or_refused_without_being_quoted(fields: dict[str, Any], is_complete: bool) -> None:
    refusal: InvalidField | None = None
    try:
        call = parse({**PLAIN, **fields} if is_complete else fields)
    except InvalidField as error:
        refusal = error
    if refusal is not None:
        assert refusal.param in FIELDS
        assert CANARY not in refusal.message
    else:
        assert len(call.given) == len(call.request.documents) > 0


def test_documents_that_are_objects_are_ranked_by_the_fields_that_are_named() -> None:
    document = {"title": "a", "year": 1984, "new": False, "price": 1.5, "none": None, "text": "b"}
    names = ["title", "title", "year", "new", "price", "none", "missing", "title"]
    asked = parse({"query": "q", "documents": [document, "c"], "rank_fields": names})
    assert asked.request.documents == ("a\n1984\nfalse\n1.5", "c")


def test_a_field_is_ranked_by_once_however_often_it_is_named() -> None:
    """A thousand times a megabyte, for each document, would be the end of the process."""
    asked = parse({"query": "q", "documents": [{"a": "x" * 1_000_000}], "rank_fields": ["a"] * 300_000})
    assert len(asked.request.documents[0]) == 1_000_000


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [nested(1000), {"a": 1}, []])
def test_fields_that_are_no_text_are_not_ranked_by(value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        parse({"query": "q", "documents": [{"a": value}], "rank_fields": ["a"]})
    assert caught.value.param == "rank_fields"


def test_fields_to_rank_by_are_few() -> None:
    with pytest.raises(InvalidField, match="the limit is 100"):
        parse({"query": "q", "documents": [{"a": "b"}], "rank_fields": [str(number) for number in range(101)]})
