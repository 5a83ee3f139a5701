"""Answers are read back with the standard library alone: `json`, `base64`, `struct`."""

from __future__ import annotations

import base64
import json
import struct
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects import embeddings_response
from gateway.dialects.embeddings_request import Encoding
from gateway.dialects.embeddings_response import encode_answer, encode_answer_now
from gateway.types import EmbedResult, Usage

USAGE = Usage(7, 9)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def result(vectors: object, model: str = "tiny") -> EmbedResult:
    return EmbedResult(model=model, vectors=np.asarray(vectors, dtype=np.float32), usage=USAGE)


def decode(item: dict[str, object]) -> list[float]:
    raw = base64.b64decode(str(item["embedding"]), validate=True)
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))


@given(st.lists(st.lists(finite, min_size=3, max_size=3), min_size=1, max_size=5))
def test_both_encodings_read_back_the_same_float32(rows: list[list[float]]) -> None:
    floats = json.loads(encode_answer_now(result(rows), [Encoding.FLOAT]))
    coded = json.loads(encode_answer_now(result(rows), [Encoding.BASE64]))
    for index, row in enumerate(rows):
        assert np.array_equal(np.asarray(floats["data"][index]["embedding"], np.float32), np.asarray(row, np.float32))
        assert decode(coded["data"][index]) == row


@pytest.mark.parametrize("encoding", list(Encoding))
def test_the_envelope_is_openais(encoding: Encoding) -> None:
    answer = json.loads(encode_answer_now(result([[1, 0], [0, 1]], model='odd "name"'), [encoding]))
    assert list(answer) == ["object", "data", "model", "usage"]
    assert answer["object"] == "list"
    assert answer["model"] == 'odd "name"'
    assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 9}
    assert [(item["object"], item["index"]) for item in answer["data"]] == [("embedding", 0), ("embedding", 1)]


@pytest.mark.parametrize("encoding", [Encoding.FLOAT, Encoding.BASE64])
@pytest.mark.parametrize(("rows", "size"), [(1, 20_000), (20, 1024), (130, 129), (2000, 10)])
def test_items_of_large_answers_are_those_of_small_ones(rows: int, size: int, encoding: Encoding) -> None:
    vectors = np.random.default_rng(2).uniform(-0.9, 0.9, (rows, size)).astype(np.float32)
    vectors[0, 0], vectors[-1, -1] = 7.25, -1e-30
    body = encode_answer_now(result(vectors, model='odd "name"'), [encoding])
    assert isinstance(body, memoryview), "this is not the way of large ones"
    whole = json.loads(bytes(body))
    assert list(whole) == ["object", "data", "model", "usage"]
    assert (whole["object"], whole["model"]) == ("list", 'odd "name"')
    assert [list(item) for item in whole["data"]] == [["object", "index", "embedding"]] * rows
    assert [(item["object"], item["index"]) for item in whole["data"]] == [("embedding", n) for n in range(rows)]
    rows_of = {Encoding.FLOAT: lambda item: item["embedding"], Encoding.BASE64: decode}[encoding]
    read = np.array([rows_of(item) for item in whole["data"]], np.float64).astype(np.float32)
    assert np.array_equal(read.view(np.uint32), vectors.view(np.uint32))


def test_several_encodings_make_an_object_in_the_order_asked() -> None:
    vectors = result([[0.5, -0.5, 0.25], [-1, -1, -1]])
    answer = json.loads(
        encode_answer_now(vectors, [Encoding.UBINARY, Encoding.FLOAT, Encoding.BINARY, Encoding.BASE64])
    )
    first, second = (item["embedding"] for item in answer["data"])
    assert list(first) == ["ubinary", "float", "binary", "base64"]
    assert (first["ubinary"], first["binary"], first["float"]) == ([160], [32], [0.5, -0.5, 0.25])
    assert (second["ubinary"], second["binary"]) == ([0], [-128])
    assert decode({"embedding": first["base64"]}) == [0.5, -0.5, 0.25]


async def test_large_answers_of_several_encodings_are_the_same() -> None:
    large = result(np.random.default_rng(0).standard_normal((512, 384)))
    both = [Encoding.BINARY, Encoding.FLOAT]
    assert await encode_answer(large, both) == encode_answer_now(large, both)


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_large_answers_made_in_a_thread_are_the_same(encoding: Encoding) -> None:
    large = result(np.random.default_rng(0).standard_normal((1024, 384)))
    assert await encode_answer(large, [encoding]) == encode_answer_now(large, [encoding])


def test_rows_that_are_not_contiguous_are_encoded_by_value() -> None:
    wide = np.arange(24, dtype=np.float32).reshape(3, 8)
    cut = EmbedResult(model="tiny", vectors=wide[:, ::2], usage=Usage(1, 1))
    answer = json.loads(encode_answer_now(cut, [Encoding.BASE64]))
    assert [decode(item) for item in answer["data"]] == [[0, 2, 4, 6], [8, 10, 12, 14], [16, 18, 20, 22]]


def multi_vector(*lengths: int, tokens: bool = False, usage: Usage = USAGE) -> EmbedResult:
    drawn = np.random.default_rng(1)
    return EmbedResult(
        model="tiny",
        vectors=np.empty((0, 8), np.float32),
        usage=usage,
        token_vectors=tuple(drawn.standard_normal((length, 8)).astype(np.float32) for length in lengths),
        tokens=tuple(tuple(f"t\u00e4{token}" for token in range(length)) for length in lengths) if tokens else None,
    )


def test_a_vector_a_token() -> None:
    vectors = multi_vector(3, 1)
    answer = json.loads(encode_answer_now(vectors, [Encoding.FLOAT]))
    assert [set(item) for item in answer["data"]] == [{"object", "index", "embeddings"}] * 2
    assert [(item["object"], item["index"]) for item in answer["data"]] == [("embeddings", 0), ("embeddings", 1)]
    assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 9}
    for item, expected in zip(answer["data"], vectors.token_vectors or (), strict=True):
        assert np.array_equal(np.asarray(item["embeddings"], np.float32), expected)


def test_base64_is_one_string_a_token() -> None:
    vectors = multi_vector(3, 1)
    answer = json.loads(encode_answer_now(vectors, [Encoding.BASE64]))
    for item, expected in zip(answer["data"], vectors.token_vectors or (), strict=True):
        assert [decode({"embedding": text}) for text in item["embeddings"]] == expected.tolist()


def test_bits_are_a_list_a_token() -> None:
    vectors = multi_vector(3, 1)
    signed, unsigned = (
        json.loads(encode_answer_now(vectors, [encoding])) for encoding in (Encoding.BINARY, Encoding.UBINARY)
    )
    for number, expected in enumerate(vectors.token_vectors or ()):
        bits = ["".join("1" if value > 0 else "0" for value in row) for row in expected.tolist()]
        assert unsigned["data"][number]["embeddings"] == [[int(row, 2)] for row in bits]
        assert signed["data"][number]["embeddings"] == [[int(row, 2) - 128] for row in bits]


def test_several_encodings_make_an_object_of_lists_in_the_order_asked() -> None:
    vectors = multi_vector(2)
    both = [Encoding.UBINARY, Encoding.BASE64]
    [item] = json.loads(encode_answer_now(vectors, both))["data"]
    assert list(item["embeddings"]) == ["ubinary", "base64"]
    for encoding in both:
        [alone] = json.loads(encode_answer_now(vectors, [encoding]))["data"]
        assert item["embeddings"][encoding.value] == alone["embeddings"]


def test_tokens_stand_beside_their_vectors_where_they_were_asked_for() -> None:
    answer = json.loads(encode_answer_now(multi_vector(2, 1, tokens=True), [Encoding.FLOAT]))
    assert [item["tokenized_input"] for item in answer["data"]] == [["t\u00e40", "t\u00e41"], ["t\u00e40"]]


def test_tokens_of_images_are_counted_where_there_were_images() -> None:
    usage = Usage(prompt_tokens=90, total_tokens=90, image_tokens=80)
    expected = {"prompt_tokens": 90, "total_tokens": 90, "image_tokens": 80}
    dense = EmbedResult(model="tiny", vectors=np.ones((1, 2), np.float32), usage=usage)
    for one in (dense, multi_vector(1, usage=usage)):
        assert json.loads(encode_answer_now(one, [Encoding.FLOAT]))["usage"] == expected


async def test_a_large_multi_vector_answer_is_made_in_a_thread_and_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    makers: list[threading.Thread] = []

    def noted(*arguments: Any, **options: Any) -> bytes:
        makers.append(threading.current_thread())
        return encode_answer_now(*arguments, **options)

    monkeypatch.setattr(embeddings_response, "encode_answer_now", noted)
    small, large = multi_vector(3), multi_vector(9_000, 9_000, tokens=True)
    both = [Encoding.FLOAT, Encoding.BINARY]
    assert await encode_answer(small, both) == encode_answer_now(small, both)
    assert await encode_answer(large, both) == encode_answer_now(large, both)
    assert [maker is threading.current_thread() for maker in makers] == [True, False]
