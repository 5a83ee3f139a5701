"""jina-embeddings-v4 over HTTP, the real Triton and the whole gateway: texts, images and vectors of tokens.

The model is its tiny twin under the shipped card, the oracle is transformers' own model, one input at a time.
"""

from __future__ import annotations

import asyncio
import io
import random
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import MERGED_V4, TEXT_MODEL, V4, V4_WINDOW
from tests.support.images import data_uri, image_file, picture
from tests.support.v4_client import TOLERANCE, V4Client, assert_like, error_of, floats, text_of

if TYPE_CHECKING:
    from tests.support.v4_oracle import V4Oracle

pytestmark = pytest.mark.triton

TASKS = ("retrieval.query", "retrieval.passage", "text-matching", "code.query", "code.passage")
SIZES = [(1, 1), (1, 200), (200, 1), (28, 28), (300, 100), (113, 400), (1000, 600)]
FORMS = [("RGB", "PNG"), ("RGB", "JPEG"), ("RGB", "WEBP"), ("P", "PNG"), ("RGBA", "PNG"), ("RGBA", "WEBP")]
FORMS += [("L", "PNG"), ("LA", "PNG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("1", "PNG")]


@pytest.fixture
async def client(v4_gateway_url: str) -> AsyncIterator[V4Client]:
    client = V4Client(v4_gateway_url)
    yield client
    await client.http.aclose()


@pytest.mark.parametrize("task", TASKS)
async def test_texts_and_images_of_one_request_get_their_tasks_vectors(
    client: V4Client, v4_oracle: V4Oracle, task: str
) -> None:
    given = ["apples", image_file(90, 130, seed=1), "a dog", image_file(30, 30, seed=2), text_of(60, 3)]
    assert_like(await client.vectors(*given, task=task), [v4_oracle.vector(task, one) for one in given])


async def test_without_a_task_a_text_is_a_passage(client: V4Client, v4_oracle: V4Oracle) -> None:
    assert_like(await client.vectors("apples"), [v4_oracle.vector("retrieval.passage", "apples")])


@pytest.mark.parametrize("task", TASKS)
async def test_every_token_has_its_vector(client: V4Client, v4_oracle: V4Oracle, task: str) -> None:
    """Those of the prefix and of an image's prompt are among them."""
    given = ["apples", image_file(90, 130, seed=1), text_of(20, 3)]
    document = await client.answer(*given, task=task, return_multivector=True)
    for row, one in zip(document["data"], given, strict=True):
        assert row["object"] == "embeddings"
        assert_like(np.array(row["embeddings"]), v4_oracle.token_vectors(task, one))


async def test_vectors_of_tokens_as_base64_and_beside_their_tokens(client: V4Client, v4_oracle: V4Oracle) -> None:
    fields: dict[str, Any] = {"task": "text-matching", "return_multivector": True, "return_tokenized_input": True}
    document = await client.answer("a lazy dog", **fields, embedding_type="base64")
    (row,) = document["data"]
    found = np.stack([floats(one) for one in row["embeddings"]])
    assert_like(found, v4_oracle.token_vectors("text-matching", "a lazy dog"))
    assert len(row["tokenized_input"]) == len(found)
    assert "".join(row["tokenized_input"]) == "Query: a lazy dog"


async def test_lengths_from_1_to_2000_tokens_share_a_request(client: V4Client, v4_oracle: V4Oracle) -> None:
    texts = [text_of(words, words) for words in (1, 2, 3, 5, 9, 17, 30, 90, 200, 500)]
    texts.append(v4_oracle.text_of_tokens("code.query", 2000, seed=1))
    assert_like(
        await client.vectors(*texts, task="code.query"), [v4_oracle.vector("code.query", text) for text in texts]
    )


async def test_images_of_any_shape(client: V4Client, v4_oracle: V4Oracle) -> None:
    files = [image_file(*size, seed=number) for number, size in enumerate(SIZES)]
    assert_like(
        await client.vectors(*files, task="text-matching"), [v4_oracle.vector("text-matching", file) for file in files]
    )


@pytest.mark.parametrize(("mode", "kind"), FORMS)
async def test_images_of_any_form(client: V4Client, v4_oracle: V4Oracle, mode: str, kind: str) -> None:
    file = image_file(75, 140, seed=5, mode=mode, kind=kind)
    task = "retrieval.passage"
    assert_like(await client.vectors(file, task=task), [v4_oracle.vector(task, file)])


async def test_an_image_is_not_turned_as_its_camera_notes_say(client: V4Client, v4_oracle: V4Oracle) -> None:
    written, notes = io.BytesIO(), Image.Exif()
    notes[0x0112] = 6
    picture(60, 140).save(written, "JPEG", exif=notes)
    task, file = "retrieval.passage", written.getvalue()
    assert_like(await client.vectors(file, task=task), [v4_oracle.vector(task, file)])


async def test_an_image_in_every_form_that_clients_send(client: V4Client, v4_oracle: V4Oracle) -> None:
    file = image_file(50, 50)
    uri = data_uri(file)
    plain = uri.partition(",")[2]
    forms: list[object] = [
        uri,
        {"image": uri},
        {"image": plain},
        {"url": uri},
        {"bytes": plain},
        {"type": "image_url", "image_url": {"url": uri}},
    ]
    response = await client.http.post("/v1/embeddings", json={"model": V4, "input": forms})
    assert response.status_code == 200, response.text
    expected = v4_oracle.vector("retrieval.passage", file)
    assert_like(np.array([row["embedding"] for row in response.json()["data"]]), [expected] * len(forms))


async def test_no_task_is_swapped_in_many_requests_at_a_time(client: V4Client, v4_oracle: V4Oracle) -> None:
    dice = random.Random(8)
    files = [image_file(40 + 30 * number, 80, seed=number) for number in range(4)]

    async def check(number: int) -> None:
        task = TASKS[number % 5]
        texts = [text_of(dice.choice([1, 4, 40]), seed) for seed in dice.sample(range(40), dice.choice([1, 1, 5]))]
        given = [*texts, files[number % 4]] if number % 3 == 0 else texts
        assert_like(await client.vectors(*given, task=task), [v4_oracle.vector(task, one) for one in given])

    async with asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(check(number))


async def test_a_text_that_names_the_images_tokens_is_a_text(client: V4Client, v4_oracle: V4Oracle) -> None:
    text = "<|vision_start|><|image_pad|><|image_pad|><|vision_end|> an image"
    given = [image_file(200, 60), text]
    assert_like(await client.vectors(*given, task="code.query"), [v4_oracle.vector("code.query", one) for one in given])


@pytest.mark.parametrize("dimensions", [8, 16, 32, 48, 64])
async def test_vectors_are_cut_and_are_of_unit_length_again(
    client: V4Client, v4_oracle: V4Oracle, dimensions: int
) -> None:
    given = ["apples", image_file(60, 60)]
    expected = [v4_oracle.vector("retrieval.passage", one, dimensions=dimensions) for one in given]
    assert_like(await client.vectors(*given, dimensions=dimensions), expected)


async def test_every_embedding_type(client: V4Client, v4_oracle: V4Oracle) -> None:
    given = ["apples", image_file(60, 60)]
    expected = np.stack([v4_oracle.vector("retrieval.passage", one) for one in given])
    bits = np.packbits(expected > 0, axis=1)
    types = ["float", "base64", "ubinary", "binary"]
    document = await client.answer(*given, embedding_type=types)
    rows = [row["embedding"] for row in document["data"]]
    assert_like(np.array([row["float"] for row in rows]), expected)
    assert_like(np.stack([floats(row["base64"]) for row in rows]), expected)
    np.testing.assert_array_equal([row["ubinary"] for row in rows], bits)
    np.testing.assert_array_equal([row["binary"] for row in rows], bits.astype(int) - 128)
    for kind in types:
        document = await client.answer(*given, embedding_type=kind)
        assert [row["embedding"] for row in document["data"]] == [row[kind] for row in rows]


async def test_usage_counts_all_tokens_and_those_of_images(client: V4Client, v4_oracle: V4Oracle) -> None:
    file = image_file(90, 130)
    texts, image = len(v4_oracle.ids("code.query", "apples")), len(v4_oracle.image_ids(file))
    both = (await client.answer("apples", file, task="code.query"))["usage"]
    assert (both["prompt_tokens"], both["total_tokens"], both["image_tokens"]) == (texts + image,) * 2 + (image,)
    alone = (await client.answer("apples", task="code.query"))["usage"]
    assert (alone["total_tokens"], alone.get("image_tokens", 0)) == (texts, 0)


async def test_parts_of_a_document_see_one_another(client: V4Client, v4_oracle: V4Oracle) -> None:
    parts = ["the dog.", "a fox ", "你好", "世界 🙂", text_of(40, 1)]
    for task in TASKS:
        found = await client.vectors(*parts, task=task, late_chunking=True)
        assert_like(found, v4_oracle.late_chunks(task, parts))


async def test_a_document_longer_than_the_window_is_read_in_overlapping_ones(
    client: V4Client, v4_oracle: V4Oracle
) -> None:
    parts = [text_of(100, seed) for seed in range(12)]
    task = "text-matching"
    assert len(v4_oracle.ids(task, " ".join(parts))) > V4_WINDOW
    expected = v4_oracle.late_chunks(task, parts, max_tokens=V4_WINDOW, overlap=256)
    assert_like(await client.vectors(*parts, task=task, late_chunking=True), expected)


async def test_images_are_no_parts_of_a_document(client: V4Client) -> None:
    response = await client.post("apples", image_file(30, 30), late_chunking=True)
    assert response.status_code == 400


async def test_a_text_beyond_the_window_is_refused_or_cut(client: V4Client, v4_oracle: V4Oracle) -> None:
    text = text_of(1000, 2)
    ids = v4_oracle.ids("retrieval.passage", text)
    assert len(ids) > V4_WINDOW
    refused = await client.post(text)
    assert (refused.status_code, error_of(refused)["code"]) == (400, "context_length_exceeded")
    document = await client.answer(text, truncate=True)
    expected = v4_oracle.vector_of_ids("retrieval.passage", ids[:V4_WINDOW])
    assert_like(np.array([document["data"][0]["embedding"]]), [expected])
    assert document["usage"]["total_tokens"] == V4_WINDOW


@pytest.mark.parametrize("bad", [b"", b"no image", image_file(60, 60)[:200], image_file(500, 2)])
async def test_an_image_that_cannot_be_read_fails_its_own_request_alone(
    client: V4Client, v4_oracle: V4Oracle, bad: bytes
) -> None:
    good = image_file(60, 60)
    given: list[tuple[str | bytes, ...]] = [(good,), ("apples",), (good, bad, "apples"), ("a dog", good)]
    responses = await asyncio.gather(*(client.post(*one) for one in given))
    assert [response.status_code for response in responses] == [200, 200, 400, 200]
    error = error_of(responses[2])
    assert error["code"] == "invalid_image"
    for word in ("PIL", "Traceback", "cannot identify", "pebble"):
        assert word not in error["message"]
    rows = responses[3].json()["data"]
    expected = [v4_oracle.vector("retrieval.passage", one) for one in given[3]]
    assert_like(np.array([row["embedding"] for row in rows]), expected)


async def test_a_model_that_reads_texts_alone_refuses_an_image(client: V4Client) -> None:
    response = await client.post(image_file(30, 30), model=TEXT_MODEL)
    assert (response.status_code, error_of(response)["code"]) == (400, "unsupported_modality")


@pytest.mark.parametrize(
    "fields",
    [
        {"task": "retrieval"},
        {"task": "classification"},
        {"dimensions": 65},
        {"return_multivector": True, "dimensions": 32},
        {"return_multivector": True, "late_chunking": True},
    ],
)
async def test_what_the_model_cannot_do_is_refused(client: V4Client, fields: dict[str, object]) -> None:
    assert (await client.post("apples", **fields)).status_code == 400


async def test_a_merged_model_has_its_own_tasks_alone(client: V4Client) -> None:
    assert (await client.post("apples", model=MERGED_V4, task="retrieval.query")).status_code == 200
    for fields in ({"task": "text-matching"}, {"task": "code.query"}, {"return_multivector": True}):
        assert (await client.post("apples", model=MERGED_V4, **fields)).status_code == 400


async def test_images_are_classified_by_what_they_are_like(client: V4Client, v4_oracle: V4Oracle) -> None:
    file, labels = image_file(60, 90), ["a dog", "a fox", "apples"]
    inputs: list[object] = [{"image": data_uri(file)}, "a lazy dog"]
    body = {"model": V4, "task": "text-matching", "input": inputs, "labels": labels}
    response = await client.http.post("/v1/classify", json=body)
    assert response.status_code == 200, response.text
    vectors = np.stack([v4_oracle.vector("text-matching", one) for one in (file, "a lazy dog")])
    powers = np.exp(vectors @ np.stack([v4_oracle.vector("text-matching", one) for one in labels]).T)
    scores = [[one["score"] for one in row["predictions"]] for row in response.json()["data"]]
    np.testing.assert_allclose(scores, powers / powers.sum(axis=1, keepdims=True), rtol=0, atol=TOLERANCE)


async def test_the_model_is_listed_with_what_it_reads(client: V4Client) -> None:
    listed = (await client.http.get("/v1/models")).json()["data"]
    (model,) = [one for one in listed if one["id"] == V4]
    assert set(model["input_modalities"]) == {"text", "image"}
