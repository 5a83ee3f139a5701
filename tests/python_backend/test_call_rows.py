"""A call's tensors, whatever they are."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gateway.python_backend.call_rows import ReadableRows, read_rows
from gateway.python_backend.faults import CallError

START, PAD, END = 90, 91, 92
READABLE = ReadableRows(vocabulary=100, adapters=3, image_token=PAD, vision_start=START, vision_end=END, unit_pixels=28)


def int32(*values: Any) -> np.ndarray:
    return np.array(values, np.int32)


def texts(**changes: np.ndarray | None) -> dict[str, np.ndarray]:
    given: dict[str, np.ndarray | None] = {
        "token_ids": int32(1, 2, 3, 4, 5),
        "row_lengths": int32(2, 3),
        "row_adapters": int32(0, 2),
        **changes,
    }
    return {name: values for name, values in given.items() if values is not None}


def images(**changes: np.ndarray | None) -> dict[str, np.ndarray]:
    """A 56x28 image, then a 28x28 one."""
    return texts(
        **{
            "token_ids": int32(7, START, PAD, PAD, END, 8, START, PAD, END),
            "row_lengths": int32(6, 3),
            "image_sizes": int32((56, 28), (28, 28)),
            "pixels": np.arange(3 * 28 * 28 * 3, dtype=np.int64).astype(np.uint8),
            **changes,
        }
    )


def test_rows_are_cut_apart() -> None:
    first, second = read_rows(texts(spans=int32((0, 1), (1, 3), (0, 3)), span_counts=int32(0, 3)), READABLE)
    assert first.ids.tolist() == [1, 2]
    assert (second.ids.tolist(), second.adapter) == ([3, 4, 5], 2)
    assert (second.pooled_start, second.pooled_end) == (0, 3)
    assert first.spans.shape == (0, 2)
    assert second.spans.tolist() == [[0, 1], [1, 3], [0, 3]]


def test_an_image_is_pooled_from_its_start_to_its_end_both_included() -> None:
    tall, small = read_rows(images(), READABLE)
    assert (tall.pooled_start, tall.pooled_end) == (1, 5)
    assert (small.pooled_start, small.pooled_end) == (0, 3)
    assert tall.pixels is not None
    assert small.pixels is not None
    assert (tall.pixels.shape, small.pixels.shape) == ((56, 28, 3), (28, 28, 3))
    flat = np.concatenate([tall.pixels.reshape(-1), small.pixels.reshape(-1)])
    np.testing.assert_array_equal(flat, images()["pixels"])


def test_images_and_texts_may_lie_in_one_call() -> None:
    sizes, pixels = int32((56, 28), (0, 0)), images()["pixels"][: 56 * 28 * 3]
    image, text = read_rows(images(image_sizes=sizes, pixels=pixels), READABLE)
    assert image.pixels is not None
    assert text.pixels is None
    assert (text.pooled_start, text.pooled_end) == (0, 3)


def test_a_call_without_rows_has_none() -> None:
    empty = np.empty(0, np.int32)
    assert read_rows(texts(token_ids=empty, row_lengths=empty, row_adapters=empty), READABLE) == []


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (texts(token_ids=None), "token_ids is missing"),
        (texts(row_lengths=None), "row_lengths is missing"),
        (texts(row_adapters=None), "row_adapters is missing"),
        (texts(row_lengths=int32(2, 2)), "token_ids has 5 values, by row_lengths it has to have 4"),
        (texts(row_lengths=int32(5, 0)), "row_lengths has to be at least 1"),
        (texts(row_lengths=int32(6, -1)), "row_lengths has to be at least 1"),
        (texts(row_lengths=int32([2, 3])), "row_lengths has shape"),
        (texts(token_ids=int32(1, 2, 3, 4, 100)), "token_ids has to be from 0 to 99"),
        (texts(token_ids=int32(1, 2, -1, 4, 5)), "token_ids has to be from 0 to 99"),
        (texts(token_ids=np.ones(5, np.float32)), "token_ids has to be of type INT32"),
        (texts(row_adapters=int32(0, 3)), "row_adapters has to be from 0 to 2"),
        (texts(row_adapters=int32(-1, 0)), "row_adapters has to be from 0 to 2"),
        (texts(row_adapters=int32(0)), "row_adapters has shape"),
        (texts(spans=int32((0, 1))), "span_counts is missing"),
        (texts(span_counts=int32(1, 0)), "spans is missing"),
        (texts(spans=int32((0, 1)), span_counts=int32(1)), "span_counts has 1 rows"),
        (texts(spans=int32((0, 1)), span_counts=int32(1, 1)), "spans has 1 values"),
        (texts(spans=int32((0, 3)), span_counts=int32(1, 0)), "spans has to hold ranges"),
        (texts(spans=int32((1, 1)), span_counts=int32(1, 0)), "spans has to hold ranges"),
        (texts(spans=int32((-1, 1)), span_counts=int32(1, 0)), "spans has to hold ranges"),
        (images(pixels=None), "pixels is missing"),
        (images(image_sizes=None), "image_sizes is missing"),
        (images(image_sizes=int32((28, 28), (28, 28))), "pixels has 7056 values"),
        (images(image_sizes=int32((56, 27), (28, 28))), "image_sizes has to hold multiples of 28"),
        (images(image_sizes=int32((56, 0), (28, 28))), "image_sizes has to hold multiples of 28"),
        (images(image_sizes=int32((-56, -28), (28, 28))), "image_sizes has to hold multiples of 28"),
        (images(image_sizes=int32((2**30 // 28 * 28, 28), (28, 28))), "image_sizes has to hold multiples of 28"),
        (images(pixels=images()["pixels"].astype(np.int32)), "pixels has to be of type UINT8"),
        # Two places for the second image, which needs one, and none of the right number but elsewhere.
        (images(token_ids=int32(7, START, PAD, END, 8, 9, START, PAD, END)), "1 places for it .* needs 2"),
        (images(token_ids=int32(PAD, START, PAD, 8, END, 9, START, PAD, END)), "token_ids of an image"),
        (images(token_ids=int32(7, START, PAD, PAD, END, PAD, START, PAD, END)), "token_ids of an image"),
        (images(token_ids=int32(7, 9, PAD, PAD, END, 8, START, PAD, END)), "have 0 markers 90"),
        (images(token_ids=int32(START, START, PAD, PAD, END, 8, START, PAD, END)), "have 2 markers 90"),
        (images(token_ids=int32(END, PAD, PAD, START, 1, 8, START, PAD, END)), "token_ids of an image"),
    ],
)
def test_a_call_that_cannot_be_meant_is_refused_in_words(tensors: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(CallError, match=words):
        read_rows(tensors, READABLE)


NAMES = ["token_ids", "row_lengths", "row_adapters", "image_sizes", "pixels", "spans", "span_counts"]
ANY_ARRAY = st.sampled_from([np.int32, np.int64, np.uint8, np.float32, np.bool_]).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
)


@given(tensors=st.dictionaries(st.sampled_from(NAMES), ANY_ARRAY))
def test_whatever_is_sent_gives_rows_or_one_kind_of_error(tensors: dict[str, np.ndarray]) -> None:
    try:
        rows = read_rows(tensors, READABLE)
    except CallError:
        return
    assert sum(len(row.ids) for row in rows) == len(tensors["token_ids"])


@given(changed=st.sampled_from(NAMES), array=ANY_ARRAY)
def test_one_wrong_tensor_among_right_ones_is_no_crash(changed: str, array: np.ndarray) -> None:
    with suppress(CallError):
        assert len(read_rows(images(**{changed: array}), READABLE)) == len(images()["row_lengths"])
