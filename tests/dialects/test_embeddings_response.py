"""Answers are read back with the standard library alone: `json`, `base64`, `struct`."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.embeddings_request import Encoding
from gateway.dialects.embeddings_response import encode_answer, encode_answer_now
from gateway.types import EmbedResult, Usage

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


def result(vectors: object, model: str = "tiny") -> EmbedResult:
    return EmbedResult(model=model, vectors=np.asarray(vectors, dtype=np.float32), usage=Usage(7, 9))


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
