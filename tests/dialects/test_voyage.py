"""Voyage's multimodal embeddings inside the edge: shapes, the forms of inputs, what its own client sends and reads."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from gateway import errors
from gateway.types import EmbedRequest, ImageInput, Overflow, TextInput
from tests.support.edge import Edge, check_error, edge
from tests.support.instant_models import IMAGE_MODEL
from tests.support.instant_services import TOKENS_AN_IMAGE, expected_vector

PATHS = ["/v1/multimodalembeddings", "/multimodalembeddings", "/v1/v1/multimodalembeddings"]
PNG = "iVBORw0KGgo="
ADDRESS = "https://example.org/a.png"
IMAGE = ImageInput(data=b"\x89PNG\r\n\x1a\n")


@pytest.fixture(scope="module")
def shared() -> Iterator[Edge]:
    with edge(max_inputs=4) as running:
        yield running


@pytest.fixture
def own() -> Iterator[Edge]:
    with edge() as running:
        yield running


def text(words: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}]}


def embed(running: Edge, *inputs: Any, path: str = PATHS[0], **fields: Any) -> httpx.Response:
    return running.client.post(path, json={"inputs": list(inputs), **fields})


def seen(running: Edge) -> EmbedRequest:
    return running.services.embedder.seen[-1]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("end", ["", "/"])
def test_the_answer(shared: Edge, path: str, end: str) -> None:
    answer = embed(shared, text("one"), text("two"), path=path + end, model="tiny")
    body = answer.json()
    assert list(body) == ["object", "data", "model", "usage"]
    assert (body["object"], body["model"]) == ("list", "tiny")
    assert [(row["object"], row["index"]) for row in body["data"]] == [("embedding", 0), ("embedding", 1)]
    rows = [np.float32(row["embedding"]).tolist() for row in body["data"]]
    assert rows == [expected_vector(TextInput(words)).tolist() for words in ("one", "two")]
    assert body["usage"] == {"text_tokens": 2, "image_pixels": 0, "video_pixels": 0, "total_tokens": 2}


@pytest.mark.parametrize(
    "fields", [{"output_encoding": "base64"}, {"encoding_format": "base64"}, {"output_encoding": "BASE64"}]
)
def test_base64_is_little_endian_float32(shared: Edge, fields: dict[str, str]) -> None:
    """Voyage's own client asks for it as `encoding_format`, of itself."""
    [row] = embed(shared, text("one"), **fields).json()["data"]
    vector = np.frombuffer(base64.b64decode(row["embedding"]), "<f4")
    assert vector.tolist() == expected_vector(TextInput("one")).tolist()


@pytest.mark.parametrize("fields", [{"output_encoding": None}, {"encoding_format": ""}, {"output_encoding": "float"}])
def test_numbers_unless_base64_is_asked_for(shared: Edge, fields: dict[str, Any]) -> None:
    assert isinstance(embed(shared, text("one"), **fields).json()["data"][0]["embedding"], list)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (text("a"), TextInput("a")), ("a", TextInput("a")), ({"text": "a"}, TextInput("a")),
        ({"content": "a"}, TextInput("a")), ({"content": ["a"]}, TextInput("a")),
        ({"content": [{"type": "text", "text": ""}]}, TextInput("")),
        ({"content": [{"type": "text", "text": f"data:image/png;base64,{PNG}"}]},
            TextInput(f"data:image/png;base64,{PNG}")),
        ({"content": [{"type": "image_url", "image_url": ADDRESS}]}, ImageInput(url=ADDRESS)),
        ({"content": [{"type": "image_base64", "image_base64": f"data:image/png;base64,{PNG}"}]}, IMAGE),
        ({"content": [{"type": "image_base64", "image_base64": PNG}]}, IMAGE),
        ({"image": ADDRESS}, ImageInput(url=ADDRESS)),
    ],
)  # fmt: skip
def test_the_forms_of_an_input(shared: Edge, given: Any, meant: Any) -> None:
    assert embed(shared, given, model=IMAGE_MODEL).status_code == 200
    assert list(seen(shared).inputs) == [meant]
    assert seen(shared).texts_only is isinstance(meant, TextInput)


def test_the_fields_of_its_client(shared: Edge) -> None:
    embed(shared, text("a"), model="tiny", input_type="query", truncation=True, output_dimension=32, user="x")
    request = seen(shared)
    assert (request.side, request.dimensions, request.overflow) == ("query", 32, Overflow.TRUNCATE)
    embed(shared, text("a"), input_type=None, truncation=False)
    assert (seen(shared).side, seen(shared).overflow) == (None, Overflow.REFUSE)
    embed(shared, text("a"))
    assert seen(shared).overflow is Overflow.TRUNCATE


def test_an_images_tokens_are_no_text_tokens(shared: Edge) -> None:
    answer = embed(shared, text("a"), {"content": [{"type": "image_url", "image_url": ADDRESS}]}, model=IMAGE_MODEL)
    usage = answer.json()["usage"]
    assert usage == {"text_tokens": 1, "image_pixels": 0, "video_pixels": 0, "total_tokens": 1 + TOKENS_AN_IMAGE}


def test_parts_are_never_merged_into_one_vector(shared: Edge) -> None:
    before = len(shared.services.embedder.seen)
    both = {"content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": ADDRESS}]}
    error = check_error(embed(shared, both, model=IMAGE_MODEL), 400)
    assert (error["code"], error["param"]) == ("unsupported_modality", "inputs")
    assert len(shared.services.embedder.seen) == before


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"inputs": None}, {"inputs": []}, {"inputs": "a"}, {"inputs": [1]}, {"inputs": [{}]},
        {"inputs": [{"content": []}]}, {"inputs": [{"content": [1]}]}, {"inputs": [{"content": None}]},
        {"inputs": [{"content": [{"type": "video_url", "video_url": ADDRESS}]}]}, {"inputs": ["a"] * 5},
        {"inputs": ["a"], "output_encoding": "int8"}, {"inputs": ["a"], "output_encoding": 1},
        {"inputs": ["a"], "truncation": "yes"}, {"inputs": ["a"], "output_dimension": 0},
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(shared: Edge, fields: dict[str, Any]) -> None:
    error = check_error(shared.client.post(PATHS[0], json=fields), 400)
    assert error["param"]


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (errors.UnknownModel("None."), 404),
        (errors.Overloaded("Busy."), 429),
        (errors.EngineUnavailable("Away."), 503),
    ],
)
def test_an_error_has_the_detail_that_its_client_reads(own: Edge, raised: errors.GatewayError, status: int) -> None:
    own.services.embedder.error = raised
    answer = embed(own, text("a"))
    check_error(answer, status)
    assert answer.json()["detail"] == raised.message
