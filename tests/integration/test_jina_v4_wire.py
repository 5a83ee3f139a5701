"""jina-embeddings-v4 over the real Triton, spoken to as the gateway does: every row gets its own task's vector.

The model is its tiny twin under the shipped card, the oracle is transformers' own model, one input at a time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gateway.errors import InferenceFailed
from gateway.triton.engine import InferCall, Tensor
from gateway.triton.grpc_engine import GrpcEngine
from tests.conftest import MERGED_V4, V4, ServedTriton
from tests.support.images import image_file
from tests.support.v4_client import TOLERANCE, assert_like, text_of
from tests.support.v4_wire import WireRow, by_row, wire_call

if TYPE_CHECKING:
    from tests.support.v4_oracle import V4Oracle

pytestmark = pytest.mark.triton

# In the order of the card's parameter `adapters`, a task for each.
TASKS = ("retrieval.query", "text-matching", "code.passage")
EMBEDDINGS, SPAN_SUMS, TOKEN_VECTORS, STATUS = "embeddings", "span_sums", "token_vectors", "row_status"
SIZES = [(1, 1), (1, 200), (200, 1), (28, 28), (300, 100), (113, 400), (640, 480), (900, 1400)]


@pytest.fixture
async def engine(v4_triton: ServedTriton) -> AsyncIterator[GrpcEngine]:
    engine = GrpcEngine(v4_triton.grpc)
    yield engine
    await engine.close()


async def infer(engine: GrpcEngine, call: InferCall) -> dict[str, Tensor]:
    return await engine.infer(call, timeout_seconds=120)


def text_row(oracle: V4Oracle, text: str, adapter: int) -> WireRow:
    return WireRow(oracle.ids(TASKS[adapter], text), adapter)


def image_row(oracle: V4Oracle, file: bytes, adapter: int) -> WireRow:
    return WireRow(oracle.image_ids(file), adapter, pixels=oracle.pixels(file))


def test_tasks_texts_and_images_are_told_apart_by_the_tolerance(v4_oracle: V4Oracle) -> None:
    """Else nothing below could fail."""
    given: Sequence[str | bytes] = ("apples", "apples.", image_file(50, 60, seed=1), image_file(50, 60, seed=2))
    vectors = [v4_oracle.vector(task, one) for task in TASKS for one in given]
    for place, one in enumerate(vectors):
        assert all(np.abs(one - other).max() > 100 * TOLERANCE for other in vectors[place + 1 :])


async def test_texts_of_1_to_2000_tokens_and_of_all_tasks_share_a_call(engine: GrpcEngine, v4_oracle: V4Oracle) -> None:
    words = [0, 1, 2, 3, 5, 8, 40, 41, 170, 400, 7, 7, 7]
    rows = [text_row(v4_oracle, text_of(count, number), number % 3) for number, count in enumerate(words)]
    longest = next(row for row in rows if len(row.ids) > 500)
    rows.append(replace(longest, ids=(list(longest.ids) * 4)[:2000]))
    answer = await infer(engine, wire_call(V4, rows, EMBEDDINGS, STATUS))
    assert answer[STATUS].tolist() == [0] * len(rows)
    for row, found in zip(rows, answer[EMBEDDINGS], strict=True):
        assert_like(found, v4_oracle.vector_of_ids(TASKS[row.adapter], row.ids))


async def test_one_token_is_a_row(engine: GrpcEngine, v4_oracle: V4Oracle) -> None:
    rows = [WireRow([token], adapter) for adapter, token in enumerate((5, 70, 300))]
    answer = await infer(engine, wire_call(V4, rows, EMBEDDINGS, STATUS))
    for row, found in zip(rows, answer[EMBEDDINGS], strict=True):
        assert_like(found, v4_oracle.vector_of_ids(TASKS[row.adapter], row.ids))


async def test_images_of_many_sizes_and_of_all_tasks_share_a_call(engine: GrpcEngine, v4_oracle: V4Oracle) -> None:
    files = [image_file(*size, seed=number) for number, size in enumerate(SIZES)]
    rows = [image_row(v4_oracle, file, number % 3) for number, file in enumerate(files)]
    answer = await infer(engine, wire_call(V4, rows, EMBEDDINGS, STATUS))
    assert answer[STATUS].tolist() == [0] * len(rows)
    for number, file in enumerate(files):
        assert_like(answer[EMBEDDINGS][number], v4_oracle.vector(TASKS[number % 3], file))


async def test_every_token_of_texts_and_images_has_its_vector(engine: GrpcEngine, v4_oracle: V4Oracle) -> None:
    texts = [(text_of(words, words), words % 3) for words in (1, 9, 30, 2)]
    files = [(image_file(60 + 90 * number, 100, seed=number), number) for number in range(3)]
    for given, row_of in ((texts, text_row), (files, image_row)):
        rows = [row_of(v4_oracle, one, adapter) for one, adapter in given]  # type: ignore[operator]
        answer = await infer(engine, wire_call(V4, rows, TOKEN_VECTORS, STATUS))
        assert set(answer) == {TOKEN_VECTORS, STATUS}
        found = by_row(answer[TOKEN_VECTORS], [len(row.ids) for row in rows])
        for vectors, (one, adapter) in zip(found, given, strict=True):
            assert_like(vectors, v4_oracle.token_vectors(TASKS[adapter], one))


async def test_spans_are_summed_in_their_own_rows(engine: GrpcEngine, v4_oracle: V4Oracle) -> None:
    spans = [((0, 2), (2, 9), (4, 6)), (), ((0, 1),)]
    rows = [replace(text_row(v4_oracle, text_of(12, place), place), spans=own) for place, own in enumerate(spans)]
    answer = await infer(engine, wire_call(V4, rows, SPAN_SUMS, EMBEDDINGS, STATUS))
    found = by_row(answer[SPAN_SUMS], [len(own) for own in spans])
    for place, own in enumerate(spans):
        hidden = v4_oracle.text_hidden(TASKS[place], text_of(12, place))
        for (start, end), total in zip(own, found[place], strict=True):
            np.testing.assert_allclose(total, hidden[start:end].sum(axis=0), rtol=1e-4, atol=1e-3)
        assert_like(answer[EMBEDDINGS][place], v4_oracle.vector(TASKS[place], text_of(12, place)))


async def test_a_text_that_names_the_images_tokens_is_a_text(engine: GrpcEngine, v4_oracle: V4Oracle) -> None:
    """Right after an image, whose positions a model of transformers remembers."""
    file = image_file(200, 60)
    text = "<|vision_start|><|image_pad|><|image_pad|><|vision_end|> an image <|video_pad|>"
    for one in (file, text, file, text):
        row = text_row(v4_oracle, one, 1) if isinstance(one, str) else image_row(v4_oracle, one, 1)
        answer = await infer(engine, wire_call(V4, [row], EMBEDDINGS, STATUS))
        assert_like(answer[EMBEDDINGS][0], v4_oracle.vector(TASKS[1], one))


async def test_no_adapter_is_swapped_between_calls_that_run_at_a_time(engine: GrpcEngine, v4_oracle: V4Oracle) -> None:
    dice = random.Random(4)
    given = [
        [(text_of(dice.randint(1, 9), number % 20), dice.randrange(3)) for number in dice.sample(range(100), 3)]
        for _ in range(60)
    ]

    async def check(texts: list[tuple[str, int]]) -> None:
        rows = [text_row(v4_oracle, text, adapter) for text, adapter in texts]
        answer = await infer(engine, wire_call(V4, rows, EMBEDDINGS, STATUS))
        for found, (text, adapter) in zip(answer[EMBEDDINGS], texts, strict=True):
            assert_like(found, v4_oracle.vector(TASKS[adapter], text))

    async with asyncio.TaskGroup() as group:
        for texts in given:
            group.create_task(check(texts))


async def test_a_merged_model_computes_its_one_task(
    engine: GrpcEngine, v4_oracle: V4Oracle, v4_files: dict[str, Path]
) -> None:
    from tests.support.v4_oracle import V4Oracle

    merged = V4Oracle(v4_files[MERGED_V4])
    text, file = text_of(9, 1), image_file(150, 90)
    rows = [text_row(v4_oracle, text, 0)], [image_row(v4_oracle, file, 0)]
    for row, one in zip(rows, (text, file), strict=True):
        answer = await infer(engine, wire_call(MERGED_V4, row, EMBEDDINGS, STATUS))
        assert_like(answer[EMBEDDINGS][0], merged.vector(TASKS[0], one))


def _spoilt(call: InferCall, **inputs: np.ndarray | None) -> InferCall:
    changed = {name: array for name, array in {**call.inputs, **inputs}.items() if array is not None}
    return replace(call, inputs=changed)


def _malformed(oracle: V4Oracle) -> Iterator[tuple[str, InferCall]]:
    """Calls, each with the name of the tensor that is wrong."""
    text = wire_call(V4, [WireRow([1, 2, 3]), WireRow([4, 5], 2)], EMBEDDINGS, STATUS)
    image = wire_call(V4, [image_row(oracle, image_file(60, 60), 0)], EMBEDDINGS, STATUS)
    spans = wire_call(V4, [WireRow([1, 2, 3], spans=((0, 2),)), WireRow([4, 5])], SPAN_SUMS, STATUS)
    numbers = {name: np.array(values, np.int32) for name, values in {"a": [3, 3], "b": [5, 0], "c": [-1, 6]}.items()}
    for lengths in numbers.values():
        yield "row_lengths", _spoilt(text, row_lengths=lengths)
    for adapters in ([0, 3], [-1, 0], [0], [0, 1, 2]):
        yield "row_adapters", _spoilt(text, row_adapters=np.array(adapters, np.int32))
    for ids in ([1, 2, 3, 4, -1], [1, 2, 3, 4, 10**6]):
        yield "token_ids", _spoilt(text, token_ids=np.array(ids, np.int32))
    pixels = image.inputs["pixels"]
    for spoilt in (pixels[:-1], np.append(pixels, pixels[:3]), None):
        yield "pixels", _spoilt(image, pixels=spoilt)
    for sizes in ([[28, 28]], [[56, 57]], [[-56, -56]], [[0, 0]], [[2**30, 2**30]]):
        yield "image_sizes", _spoilt(image, image_sizes=np.array(sizes, np.int32))
    for ids in (image.inputs["token_ids"][:-9], np.append(image.inputs["token_ids"], 7)):
        yield "token_ids", _spoilt(image, token_ids=ids)
    for own in ([[0, 4]], [[2, 1]], [[-1, 2]]):
        yield "spans", _spoilt(spans, spans=np.array(own, np.int32))
    for counts in ([2, 0], [1, 1], [-1, 2], [1]):
        yield "span_counts", _spoilt(spans, span_counts=np.array(counts, np.int32))


async def refused(engine: GrpcEngine, call: InferCall) -> str | None:
    """Why, or None where it was not."""
    try:
        await infer(engine, call)
    except InferenceFailed as error:
        return error.message
    return None


async def test_a_malformed_call_is_refused_and_the_next_one_is_not(engine: GrpcEngine, v4_oracle: V4Oracle) -> None:
    row = text_row(v4_oracle, "apples", 1)
    for what, call in _malformed(v4_oracle):
        refusal = await refused(engine, call)
        assert refusal is not None, what
        assert what in refusal
        assert "Traceback" not in refusal
    answer = await infer(engine, wire_call(V4, [row], EMBEDDINGS, STATUS))
    assert_like(answer[EMBEDDINGS][0], v4_oracle.vector(TASKS[1], "apples"))
