"""The hand-written checks: every accepted form is translated as stated, every other one refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.dialects.openai_request import EmbeddingsCall, Encoding, parse_embeddings_call
from gateway.errors import InvalidField, TooManyInputs
from gateway.types import Overflow, TextInput, TokenInput, Vocabulary

CANARY = "canary-8c1f"


def parse(fields: dict[str, Any], *, header: str | None = None, max_inputs: int = 8) -> EmbeddingsCall:
    return parse_embeddings_call(fields, vocabulary_header=header, max_inputs=max_inputs, deadline=1.0)


@pytest.mark.parametrize(
    ("value", "inputs"),
    [
        ("one", (TextInput("one"),)),
        ("", (TextInput(""),)),
        (["a", "b"], (TextInput("a"), TextInput("b"))),
        ([1, 2, 3], (TokenInput((1, 2, 3)),)),
        ([[1, 2], [0]], (TokenInput((1, 2)), TokenInput((0,)))),
        ([{"text": "a"}, {"text": "b", "extra": 1}], (TextInput("a"), TextInput("b"))),
        (["x"] * 8, (TextInput("x"),) * 8),
        (list(range(9)), (TokenInput(tuple(range(9))),)),  # one input, however many ids
    ],
)
def test_accepted_inputs(value: Any, inputs: Any) -> None:
    assert parse({"input": value}).request.inputs == inputs


@pytest.mark.parametrize(
    "value",
    [
        None, 1, 1.5, True, {}, {"text": "a"}, [], [[]], [[1], []], ["a", 1], [1, "a"], ["a", None], [None],
        [1.0, 2.0], [True], [1, True], [False, 1], [-1], [[-1]], [[1.0]], [2**31], [[2**63]], [[[1]]], [["a"]],
        [[1], "a"], [{"text": 1}], [{}], [{"text": "a"}, "b"], [1, [2]],
    ],
)  # fmt: skip
def test_refused_inputs(value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        parse({"input": value})
    assert caught.value.param == "input"
    assert "'input" in caught.value.message


def test_missing_input_says_what_to_give() -> None:
    with pytest.raises(InvalidField, match="missing"):
        parse({})


@pytest.mark.parametrize("item", ["a", [1], {"text": "a"}])
def test_too_many_inputs(item: Any) -> None:
    with pytest.raises(TooManyInputs, match="9 items and the limit is 8"):
        parse({"input": [item] * 9})


@pytest.mark.parametrize(("value", "expected"), [(None, None), (1, 1), (384, 384), (2**63, 2**63)])
def test_accepted_dimensions(value: Any, expected: int | None) -> None:
    assert parse({"input": "a", "dimensions": value}).request.dimensions == expected


@pytest.mark.parametrize("value", [0, -1, 3.5, 10.0, "10", True, False, [], {}, "", math.inf])
def test_refused_dimensions(value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        parse({"input": "a", "dimensions": value})
    assert caught.value.param == "dimensions"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, Encoding.FLOAT), ("", Encoding.FLOAT), ("float", Encoding.FLOAT), ("FLOAT", Encoding.FLOAT)]
    + [(word, Encoding.BASE64) for word in ("base64", "Base64", "BASE64")],
)
def test_accepted_encodings(value: Any, expected: Encoding) -> None:
    assert parse({"input": "a", "encoding_format": value}).encoding is expected


@pytest.mark.parametrize("value", ["hex", "float32", 1, True, [], {}, ["float"], 1.5, " float"])
def test_refused_encodings(value: Any) -> None:
    with pytest.raises(InvalidField, match="Invalid value for 'encoding_format'") as caught:
        parse({"input": "a", "encoding_format": value})
    assert caught.value.param == "encoding_format"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Overflow.REFUSE),
        ({"truncate": None}, Overflow.REFUSE),
        ({"truncate": False}, Overflow.REFUSE),
        ({"truncate": True}, Overflow.TRUNCATE),
        ({"truncation": True}, Overflow.TRUNCATE),
        ({"truncate": False, "truncation": True}, Overflow.REFUSE),
        ({"truncate": None, "truncation": True}, Overflow.TRUNCATE),
    ],
)
def test_truncate(fields: dict[str, Any], expected: Overflow) -> None:
    assert parse({"input": "a", **fields}).request.overflow is expected


@pytest.mark.parametrize("name", ["truncate", "truncation"])
@pytest.mark.parametrize("value", ["true", 1, 0, [], {}, "END"])
def test_refused_truncate(name: str, value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        parse({"input": "a", name: value})
    assert caught.value.param == name


@pytest.mark.parametrize(
    ("field", "header", "expected"),
    [
        (None, None, None),
        ("", None, None),
        (None, "", None),
        ("model", None, Vocabulary.MODEL),
        ("CL100K_base", None, Vocabulary.CL100K_BASE),
        (None, "model", Vocabulary.MODEL),
        (None, " Model ", Vocabulary.MODEL),
        ("model", "cl100k_base", Vocabulary.MODEL),
    ],
)
def test_vocabulary(field: Any, header: str | None, expected: Vocabulary | None) -> None:
    call = parse({"input": [1], "token_vocabulary": field}, header=header)
    assert call.request.inputs == (TokenInput((1,), expected),)


@pytest.mark.parametrize(("field", "header"), [("gpt2", None), (1, None), ([], None), (None, "gpt2")])
def test_refused_vocabulary(field: Any, header: str | None) -> None:
    with pytest.raises(InvalidField, match="x-token-vocabulary") as caught:
        parse({"input": [1], "token_vocabulary": field}, header=header)
    assert caught.value.param == "token_vocabulary"


@pytest.mark.parametrize(("value", "expected"), [(None, None), ("", None), ("  ", None), ("a/b", "a/b"), (" a ", "a")])
def test_accepted_models(value: Any, expected: str | None) -> None:
    assert parse({"input": "a", "model": value}).request.model == expected


@pytest.mark.parametrize("value", [0, 1, True, False, [], {}, ["a"], 1.5])
def test_refused_models(value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        parse({"input": "a", "model": value})
    assert caught.value.param == "model"


def test_unknown_and_ignored_fields_change_nothing() -> None:
    plain = parse({"input": "a"})
    assert parse({"input": "a", "user": {"any": 1}, "prompt_name": 3, "x" * 1000: None}) == plain


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text("ab\xe4", max_size=8).map(lambda text: CANARY + text),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=4), inner, max_size=3),
    max_leaves=12,
)
FIELDS = ("input", "model", "dimensions", "encoding_format", "truncate", "truncation", "token_vocabulary", "user")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(fields=st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_any_json_is_translated_or_refused_without_being_quoted(fields: dict[str, Any]) -> None:
    refusal: InvalidField | None = None
    try:
        call = parse(fields)
    except InvalidField as error:
        refusal = error
    if refusal is not None:
        assert refusal.param in FIELDS
        assert CANARY not in refusal.message
    else:
        assert call.request.inputs
        assert all(isinstance(item, TextInput | TokenInput) for item in call.request.inputs)


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1), min_size=1, max_size=8))
def test_token_lists_keep_order_and_ids(ids: list[list[int]]) -> None:
    assert [list(item.ids) for item in parse({"input": ids}).request.inputs] == ids  # type: ignore[union-attr]
