"""Vectors in bytes on the shared embeddings path, read back by the header alone, as vLLM's documentation has it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import ml_dtypes
import numpy as np
import pytest

from gateway.dialects.vllm_bytes import bytes_form, packing_of
from gateway.errors import InvalidField
from gateway.types import Overflow, TextInput
from gateway.vectors.packing import NumberType, Packing
from tests.support.edge import Edge, check_error, edge
from tests.support.instant_models import IMAGE_MODEL
from tests.support.instant_services import expected_token_vectors, expected_vector

TYPES: dict[str, Any] = {
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
}
TEXTS = ["one", "two", "three"]


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    """For tests that leave the services as they are."""
    with edge() as running:
        yield running


@pytest.fixture
def own() -> Iterator[Edge]:
    with edge() as running:
        yield running


def read(raw: bytes, *, kind: str, order: str) -> np.ndarray:
    """The numbers of `raw`, as a client reads them."""
    bare = np.frombuffer(raw, f"u{np.dtype(TYPES[kind]).itemsize}")
    return (bare.byteswap() if order == "big" else bare).view(TYPES[kind])


def described(answer: httpx.Response) -> list[np.ndarray]:
    """Every vector, found and shaped by the header `metadata`."""
    items = json.loads(answer.headers["metadata"])["data"]
    assert [item["index"] for item in items] == list(range(len(items)))
    assert items[-1]["end"] == len(answer.content)
    return [
        read(answer.content[item["start"] : item["end"]], kind=item["embed_dtype"], order=item["endianness"]).reshape(
            item["shape"]
        )
        for item in items
    ]


@pytest.mark.parametrize("endianness", [None, "native", "little", "big", "BIG"])
@pytest.mark.parametrize("kind", [None, *TYPES])
def test_the_header_says_where_each_vector_lies(shared: Edge, kind: str | None, endianness: str | None) -> None:
    answer = shared.embed(input=TEXTS, encoding_format="bytes", embed_dtype=kind, endianness=endianness)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    for text, vector in zip(TEXTS, described(answer), strict=True):
        expected = expected_vector(TextInput(text)).astype(TYPES[kind or "float32"])
        assert vector.shape == (384,)
        assert np.array_equal(vector.view(np.uint8), expected.view(np.uint8))


def test_what_else_the_header_says(shared: Edge) -> None:
    answer = shared.embed(input=TEXTS, encoding_format="Bytes", dimensions=8)
    about = json.loads(answer.headers["metadata"])
    assert set(about) == {"id", "created", "model", "data", "usage"}
    assert about["id"] == f"embd-{answer.headers['x-request-id']}"
    assert about["model"] == "tiny"
    assert about["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert about["data"][1] == {
        "index": 1, "embed_dtype": "float32", "endianness": "little", "start": 32, "end": 64, "shape": [8],
    }  # fmt: skip
    assert answer.headers["openai-version"]


def test_bytes_only_has_no_such_header(shared: Edge) -> None:
    answer = shared.embed(input=TEXTS, encoding_format="bytes_only", embed_dtype="float16")
    assert "metadata" not in answer.headers
    vectors = np.stack([expected_vector(TextInput(text)) for text in TEXTS])
    assert np.array_equal(np.frombuffer(answer.content, "<f2").reshape(3, -1), vectors.astype(np.float16))


def test_bytes_of_token_vectors(shared: Edge) -> None:
    answer = shared.embed(input=TEXTS, model=IMAGE_MODEL, return_multivector=True, encoding_format="bytes")
    for text, vectors in zip(TEXTS, described(answer), strict=True):
        assert np.array_equal(vectors, expected_token_vectors(TextInput(text)))


@pytest.mark.parametrize("several", [False, True])
def test_base64_is_in_the_type_asked_for(shared: Edge, several: bool) -> None:
    fields = {"embedding_type": ["base64", "float"]} if several else {"encoding_format": "base64"}
    answer = shared.embed(**fields, embed_dtype="bfloat16", endianness="big").json()
    embedding = answer["data"][0]["embedding"]
    raw = base64.b64decode(embedding["base64"] if several else embedding, validate=True)
    vector = expected_vector(TextInput("a text"))
    assert np.array_equal(read(raw, kind="bfloat16", order="big"), vector.astype(ml_dtypes.bfloat16))
    if several:
        assert np.array_equal(np.asarray(embedding["float"], np.float32), vector)


def test_base64_of_token_vectors_is_in_the_type_asked_for(shared: Edge) -> None:
    fields = {"model": IMAGE_MODEL, "return_multivector": True, "encoding_format": "base64", "embed_dtype": "float16"}
    [item] = shared.embed(**fields).json()["data"]
    rows = [np.frombuffer(base64.b64decode(row), "<f2") for row in item["embeddings"]]
    assert np.array_equal(np.stack(rows), expected_token_vectors(TextInput("a text")).astype(np.float16))


def test_numbers_in_json_are_what_they_are(shared: Edge) -> None:
    answer = shared.embed(embed_dtype="fp8_e4m3").json()
    assert np.array_equal(np.asarray(answer["data"][0]["embedding"], np.float32), expected_vector(TextInput("a text")))


def test_another_name_of_the_encoding_goes_first(shared: Edge) -> None:
    answer = shared.embed(encoding_format="bytes", embedding_type="ubinary")
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.json()["data"][0]["embedding"]) == 48


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"encoding_format": "bytes", "embed_dtype": "float64"}, "embed_dtype"),
        ({"encoding_format": "bytes", "embed_dtype": 32}, "embed_dtype"),
        ({"encoding_format": "bytes", "endianness": "middle"}, "endianness"),
        ({"encoding_format": "base64", "endianness": 1}, "endianness"),
        ({"encoding_format": ["bytes"]}, "encoding_format"),
        ({"embedding_type": "bytes"}, "embedding_type"),
        ({"encoding_format": "bytes", "input": ["a"] * 513}, "encoding_format"),
        ({"encoding_format": "bytes", "input": []}, "input"),
    ],
)
def test_refused(shared: Edge, fields: dict[str, Any], param: str) -> None:
    assert check_error(shared.embed(**fields), 400)["param"] == param


def test_as_many_as_a_header_may_describe_stay_below_what_clients_read() -> None:
    with edge() as running:
        answer = running.embed(input=["a"] * 512, encoding_format="bytes", embed_dtype="bfloat16")
        assert answer.status_code == 200
        assert len(answer.headers["metadata"]) < 65_000
        assert running.embed(input=["a"] * 513, encoding_format="bytes_only").status_code == 200


def test_what_vllm_adds_reaches_the_service(own: Edge) -> None:
    own.embed(truncate_prompt_tokens=5, use_activation=False)
    own.embed(truncate_prompt_tokens=-1, truncation_side="left", truncate=False)
    own.embed(input=None, messages=[{"role": "user", "content": [{"type": "text", "text": "said"}]}])
    cut, end, chat = own.services.embedder.seen
    assert (cut.overflow, cut.max_input_tokens, cut.normalised) == (Overflow.TRUNCATE, 5, False)
    assert (end.overflow, end.max_input_tokens) == (Overflow.TRUNCATE_START, None)
    assert chat.inputs == (TextInput("said"),)


def test_the_answer_tells_what_the_service_warned_of(own: Edge) -> None:
    own.services.embedder.warnings = ("Careful.",)
    assert own.embed(encoding_format="bytes").headers["x-gateway-warning"] == "Careful."


def test_forms_that_are_no_bytes() -> None:
    for fields in ({}, {"encoding_format": None}, {"encoding_format": "float"}, {"encoding_format": ["bytes"]}):
        assert bytes_form(fields) is None
    assert bytes_form({"encoding_format": "bytes", "embedding_type": ""}, "embedding_type") is not None
    assert bytes_form({"encoding_format": "bytes", "embedding_type": "float"}, "embedding_type") is None


def test_packing() -> None:
    assert packing_of({}) is None
    assert packing_of({"embed_dtype": None, "endianness": ""}) is None
    assert packing_of({"endianness": "big"}) == Packing(NumberType.FLOAT32, big_endian=True)
    assert packing_of({"embed_dtype": "FLOAT16"}) == Packing(NumberType.FLOAT16)
    with pytest.raises(InvalidField, match="float32, float16, bfloat16, fp8_e4m3, fp8_e5m2"):
        packing_of({"embed_dtype": "int8"})
