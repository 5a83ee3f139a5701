"""Jina's zero-shot classification: checks a request, and writes each input's choice among the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.dialects.embeddings_request import INPUT_NAMES, TASK_NAMES, overflow
from gateway.dialects.endpoint import Answer, Call
from gateway.dialects.fields import Fields, given, kind_of, model_name, word
from gateway.dialects.inputs import InputLimits, read_items
from gateway.dialects.json_rows import json_list, written
from gateway.errors import InvalidField
from gateway.types import ClassifyRequest, ClassifyResult

# As many as Jina's API takes, in all groups together: each makes an entry for every input.
MAX_LABELS = 512

_BYTES_PER_PREDICTION = 64
_LABEL_FORMS = 'a list of strings, or an object of such lists, {"group": ["label", ...]}'


@dataclass(frozen=True, slots=True)
class ClassifyCall:
    """`groups` are the names of the groups of labels, None where the labels are one plain list."""

    request: ClassifyRequest
    groups: tuple[str, ...] | None


async def classify(call: Call) -> Answer:
    """The answer of `POST /v1/classify`."""
    asked = parse_classify_call(call.fields, limits=call.limits.inputs, deadline=call.deadline, caller=call.caller)
    result = await call.wait_for(call.services.classifier.classify(asked.request))
    call.note(model=result.model, inputs=len(asked.request.inputs), usage=result.usage, stages=result.stages)
    return Answer(await encode_classes(result, asked))


def parse_classify_call(fields: Fields, *, limits: InputLimits, deadline: float, caller: str = "") -> ClassifyCall:
    """Translate the body's fields; unknown ones are ignored and null means not given.

    `deadline` is a reading of `time.monotonic()`, in seconds. Raises `InvalidField`, `InvalidImage`, `TooManyInputs`.
    """
    if fields.get("classifier_id") is not None:
        raise InvalidField(
            "Classifiers trained on examples are not offered here. Send 'model' and 'labels' instead of "
            "'classifier_id'.",
            param="classifier_id",
        )
    name, value = given(fields, *INPUT_NAMES)
    groups, labels = _labels(fields.get("labels"))
    request = ClassifyRequest(
        inputs=read_items(value, name=name, limits=limits),
        label_groups=labels,
        deadline=deadline,
        model=model_name(fields),
        task=word(fields, *TASK_NAMES),
        overflow=overflow(fields),
        caller=caller,
    )
    return ClassifyCall(request=request, groups=groups)


def _labels(value: Any) -> tuple[tuple[str, ...] | None, tuple[tuple[str, ...], ...]]:
    """The groups' names and each one's labels. A label given twice in a group counts once."""
    if value is None:
        raise InvalidField(f"'labels' is missing. Give {_LABEL_FORMS}.", param="labels")
    if isinstance(value, Mapping):
        groups: tuple[str, ...] | None = tuple(value)
        labels = tuple(_group(group, where="a group of 'labels'") for group in value.values())
    else:
        groups, labels = None, (_group(value, where="'labels'"),)
    if not labels:
        raise InvalidField("'labels' is an empty object. Give at least one group of labels.", param="labels")
    count = sum(map(len, labels))
    if count > MAX_LABELS:
        raise InvalidField(
            f"'labels' holds {count} labels and the limit is {MAX_LABELS}.", param="labels", code="too_many_labels"
        )
    return groups, labels


def _group(value: Any, *, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InvalidField(f"{where} has to be {_LABEL_FORMS}, not {kind_of(value)}.", param="labels")
    if not value:
        raise InvalidField(f"{where} is an empty list. Give at least one label.", param="labels")
    for index, label in enumerate(value):
        if not isinstance(label, str) or not label.strip():
            wrong = "an empty string" if isinstance(label, str) else kind_of(label)
            raise InvalidField(f"Label {index} of {where} has to be a string with text, not {wrong}.", param="labels")
    return tuple(dict.fromkeys(value))


async def encode_classes(result: ClassifyResult, call: ClassifyCall) -> bytes:
    """The JSON body for `result`. Large ones are made in a thread."""
    predictions = sum(scores.size for scores in result.scores)
    return await written(lambda: _encoded(result, call), expected_bytes=_BYTES_PER_PREDICTION * predictions)


def _encoded(result: ClassifyResult, call: ClassifyCall) -> bytes:
    return b'{"usage":{"total_tokens":%d},"data":%b}' % (result.usage.total_tokens, json_list(_rows(result, call)))


def _rows(result: ClassifyResult, call: ClassifyCall) -> Iterator[dict[str, Any]]:
    for index in range(len(call.request.inputs)):
        choices = [
            _choice(labels, scores[index].tolist())
            for labels, scores in zip(call.request.label_groups, result.scores, strict=True)
        ]
        row = {"object": "classification", "index": index}
        if call.groups is None:
            yield row | choices[0]
        else:
            yield row | {
                key: dict(zip(call.groups, (choice[key] for choice in choices), strict=True)) for key in choices[0]
            }


def _choice(labels: Sequence[str], scores: Sequence[float]) -> dict[str, Any]:
    """The best label, the first of equals, and all of them in the order given."""
    best = max(range(len(labels)), key=scores.__getitem__)
    return {
        "prediction": labels[best],
        "score": scores[best],
        "predictions": [{"label": label, "score": score} for label, score in zip(labels, scores, strict=True)],
    }
