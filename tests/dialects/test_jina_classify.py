"""Zero-shot classification: forms of inputs and labels, and the answer with and without groups."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gateway.dialects.inputs import InputLimits
from gateway.dialects.jina_classify import MAX_LABELS, ClassifyCall, encode_classes, parse_classify_call
from gateway.errors import InvalidField
from gateway.types import ClassifyRequest, ClassifyResult, ImageInput, Overflow, TextInput, Usage

PLAIN = {"input": ["a", "b"], "labels": ["x", "y"]}


def parse(fields: dict[str, Any]) -> ClassifyCall:
    return parse_classify_call(fields, limits=InputLimits(max_inputs=8, max_image_bytes=100), deadline=1.0)


async def answer(scores: list[Any], **fields: Any) -> dict[str, Any]:
    result = ClassifyResult("m", tuple(np.array(group, np.float32) for group in scores), Usage(9, 9))
    decoded: dict[str, Any] = json.loads(await encode_classes(result, parse({**PLAIN, **fields})))
    return decoded


def test_the_shortest_request() -> None:
    request = ClassifyRequest((TextInput("a"), TextInput("b")), (("x", "y"),), deadline=1.0)
    assert parse(PLAIN) == ClassifyCall(request, None)


@pytest.mark.parametrize("value", ["a", {"text": "a"}, ["a"], [{"text": "a"}]])
def test_inputs(value: Any) -> None:
    assert parse({**PLAIN, "input": value}).request.inputs == (TextInput("a"),)


def test_images_are_classified_among_texts() -> None:
    call = parse({**PLAIN, "input": ["a", {"image": "iVBORw"}, {"url": "https://example.org/a.png"}]})
    expected = (TextInput("a"), ImageInput(data=b"\x89PNG"), ImageInput(url="https://example.org/a.png"))
    assert call.request.inputs == expected


def test_groups_of_labels_keep_their_order_and_equal_labels_count_once() -> None:
    call = parse({**PLAIN, "labels": {"z": ["1", "2", "1"], "a": ["3"]}})
    assert call.groups == ("z", "a")
    assert call.request.label_groups == (("1", "2"), ("3",))


def test_further_fields() -> None:
    call = parse({**PLAIN, "model": "m", "task": "classification", "truncate": True})
    assert (call.request.model, call.request.task, call.request.overflow) == ("m", "classification", Overflow.TRUNCATE)


def test_trained_classifiers_are_not_offered() -> None:
    with pytest.raises(InvalidField, match="not offered") as caught:
        parse({"classifier_id": "1", "input": ["a"]})
    assert caught.value.param == "classifier_id"
    assert parse({**PLAIN, "classifier_id": None}) == parse(PLAIN)


@pytest.mark.parametrize(
    "labels",
    [None, "x", 1, True, [], {}, [1], [None], [""], [" "], [["x"]], [{"text": "x"}], {"g": []}, {"g": "x"}, {"g": None},
     {"g": ["x"], "h": [1]}],
)  # fmt: skip
def test_refused_labels(labels: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        parse({**PLAIN, "labels": labels})
    assert caught.value.param == "labels"


@pytest.mark.parametrize("value", [None, [], [1], [[1]], 1, {}, [{"image": "x"}], [{"pdf": "JVBER"}]])
def test_refused_inputs(value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        parse({**PLAIN, "input": value})
    assert caught.value.param == "input"


def test_the_number_of_labels_is_bounded_over_all_groups() -> None:
    half = [str(index) for index in range(MAX_LABELS // 2)]
    assert parse({**PLAIN, "labels": {"a": half, "b": half}})
    with pytest.raises(InvalidField, match=f"{MAX_LABELS + 1} labels") as caught:
        parse({**PLAIN, "labels": {"a": half, "b": [*half, "one more"]}})
    assert caught.value.code == "too_many_labels"


async def test_the_answer_for_a_list_of_labels() -> None:
    assert await answer([[[0.25, 0.75], [0.5, 0.5]]]) == {
        "usage": {"total_tokens": 9},
        "data": [
            {
                "object": "classification",
                "index": 0,
                "prediction": "y",
                "score": 0.75,
                "predictions": [{"label": "x", "score": 0.25}, {"label": "y", "score": 0.75}],
            },
            {
                "object": "classification",
                "index": 1,
                "prediction": "x",
                "score": 0.5,
                "predictions": [{"label": "x", "score": 0.5}, {"label": "y", "score": 0.5}],
            },
        ],
    }


async def test_the_answer_for_groups_is_keyed_by_group() -> None:
    labels = {"mood": ["good", "bad"], "topic": ["sea", "tax", "art"]}
    scores = [[[0.25, 0.75]], [[0.25, 0.25, 0.5]]]
    [row] = (await answer(scores, input="a", labels=labels))["data"]
    assert row == {
        "object": "classification",
        "index": 0,
        "prediction": {"mood": "bad", "topic": "art"},
        "score": {"mood": 0.75, "topic": 0.5},
        "predictions": {
            "mood": [{"label": "good", "score": 0.25}, {"label": "bad", "score": 0.75}],
            "topic": [{"label": "sea", "score": 0.25}, {"label": "tax", "score": 0.25}, {"label": "art", "score": 0.5}],
        },
    }


async def test_one_group_is_still_keyed() -> None:
    [row] = (await answer([[[1.0]]], input="a", labels={"g": ["x"]}))["data"]
    assert row["prediction"] == {"g": "x"}
