"""The segmenter's fields and answer: which tokens are listed, and in which piece."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.jina_segment import SegmentCall, encode_segments, parse_segment_call
from gateway.errors import InvalidField
from gateway.types import Segmentation

TEXT = "one two three"
TOKENS = (("one", (11,)), (" two", (12,)), (" thr", (13,)), ("ee", (14, 15)))


def encoded(segmentation: Segmentation, **fields: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(encode_segments(segmentation, parse_segment_call({"content": TEXT, **fields})))
    return answer


def in_pieces(*positions: tuple[int, int]) -> Segmentation:
    return Segmentation(token_count=4, tokens=TOKENS, chunk_positions=positions)


def test_the_defaults() -> None:
    expected = SegmentCall(TEXT, "cl100k_base", False, None, None, None)
    assert parse_segment_call({"content": TEXT}) == expected
    names = ["tokenizer", "return_tokens", "return_chunks", "max_chunk_length", "head", "tail"]
    assert parse_segment_call({"content": TEXT, **dict.fromkeys(names)}) == expected


def test_fields() -> None:
    call = parse_segment_call({"content": "a", "tokenizer": " m ", "return_chunks": True, "max_chunk_length": 7})
    assert (call.tokenizer, call.max_chunk_characters) == ("m", 7)
    assert parse_segment_call({"content": "a", "return_chunks": True}).max_chunk_characters == 1000
    assert parse_segment_call({"content": "a", "max_chunk_length": 7}).max_chunk_characters is None
    assert parse_segment_call({"content": "a", "model": "m"}).tokenizer == "m"
    assert parse_segment_call({"content": "a", "head": 1}).return_tokens


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "content"),
        ({"content": 1}, "content"),
        ({"content": ["a"]}, "content"),
        ({"content": {"text": "a"}}, "content"),
        ({"tokenizer": 1}, "tokenizer"),
        ({"return_tokens": 1}, "return_tokens"),
        ({"return_chunks": "true"}, "return_chunks"),
        ({"max_chunk_length": 0}, "max_chunk_length"),
        ({"max_chunk_length": 1.5}, "max_chunk_length"),
        ({"head": 0}, "head"),
        ({"tail": -1}, "tail"),
        ({"head": 1, "tail": 1}, "tail"),
    ],
)
def test_refused_fields(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidField) as caught:
        parse_segment_call({"content": "a", **fields} if param != "content" else fields)
    assert caught.value.param == param


def test_counting_alone() -> None:
    assert encoded(in_pieces()) == {"num_tokens": 4, "tokenizer": "cl100k_base", "usage": {"tokens": 0}}


def test_pieces() -> None:
    answer = encoded(in_pieces((0, 4), (4, 13)), return_chunks=True)
    assert answer["num_chunks"] == 2
    assert answer["chunk_positions"] == [[0, 4], [4, 13]]
    assert answer["chunks"] == ["one ", "two three"]
    assert "tokens" not in answer


def test_tokens_without_pieces_are_one_list() -> None:
    answer = encoded(in_pieces(), return_tokens=True)
    assert answer["tokens"] == [[["one", [11]], [" two", [12]], [" thr", [13]], ["ee", [14, 15]]]]
    assert "chunks" not in answer


@pytest.mark.parametrize(
    ("fields", "texts"),
    [
        ({"head": 3}, ["one", " two", " thr"]),
        ({"head": 9}, ["one", " two", " thr", "ee"]),
        ({"tail": 3}, [" two", " thr", "ee"]),
        ({"tail": 9}, ["one", " two", " thr", "ee"]),
    ],
)
def test_first_and_last_tokens(fields: dict[str, int], texts: list[str]) -> None:
    answer = encoded(in_pieces(), **fields)
    assert [text for text, _ in answer["tokens"][0]] == texts
    assert answer["num_tokens"] == 4


def test_tokens_are_listed_in_the_piece_in_which_they_begin() -> None:
    answer = encoded(in_pieces((0, 5), (5, 9), (9, 13)), return_tokens=True, return_chunks=True)
    assert [[text for text, _ in piece] for piece in answer["tokens"]] == [["one", " two"], [" thr"], ["ee"]]
    answer = encoded(in_pieces((0, 5), (5, 9), (9, 13)), return_chunks=True, tail=1)
    assert [[text for text, _ in piece] for piece in answer["tokens"]] == [[], [], ["ee"]]


def test_tokens_of_a_tokenizer_that_drops_blanks() -> None:
    text = "one" + " " * 2000 + "two three"
    segmentation = Segmentation(
        3, (("one", (1,)), ("two", (2,)), ("three", (3,))), ((0, 1000), (1000, 2006), (2006, 2012))
    )
    call = parse_segment_call({"content": text, "return_tokens": True, "return_chunks": True})
    answer = json.loads(encode_segments(segmentation, call))
    assert [[token for token, _ in piece] for piece in answer["tokens"]] == [["one"], ["two"], ["three"]]


@given(st.lists(st.text("ab \n\u00e4\U0001f680", min_size=1, max_size=5), max_size=12), st.integers(1, 9))
def test_pieces_together_are_the_text_and_list_each_token_once(words: list[str], width: int) -> None:
    text = "".join(words)
    positions = tuple((start, min(start + width, len(text))) for start in range(0, len(text), width))
    segmentation = Segmentation(len(words), tuple((word, (len(word),)) for word in words), positions)
    call = parse_segment_call({"content": text, "return_tokens": True, "return_chunks": True})
    answer = json.loads(encode_segments(segmentation, call))
    assert "".join(answer["chunks"]) == text
    assert [token[0] for piece in answer["tokens"] for token in piece] == words
