"""Single fields: the first name given wins, null is not given, and a wrong value is refused under the name it had."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.fields import flag, given, kind_of, model_name, refuse_if_asked, whole_number, word
from gateway.errors import InvalidField


def test_given_takes_the_first_that_is_not_null() -> None:
    assert given({"b": 0, "c": 1}, "a", "b", "c") == ("b", 0)
    assert given({"a": None, "b": False}, "a", "b") == ("b", False)
    assert given({"a": ""}, "a") == ("a", "")
    assert given({"a": "", "b": 1}, "a", "b", but_not="") == ("b", 1)
    assert given({}, "a", "b") == ("a", None)


def test_words_are_stripped_and_blank_ones_not_given() -> None:
    assert word({"a": " x "}, "a") == "x"
    assert word({"a": " "}, "a") is None
    assert word({}, "a", "b") is None


def test_flags_and_numbers() -> None:
    assert flag({"b": False}, "a", "b", default=True) is False
    assert flag({"a": None}, "a", default=True) is True
    assert whole_number({"a": 0}, "a", minimum=0, otherwise="x") == 0
    assert whole_number({}, "a", minimum=1, otherwise="x") is None
    with pytest.raises(InvalidField, match=r"'b' has to be 1 or more\. All of them\."):
        whole_number({"b": 0}, "a", "b", minimum=1, otherwise="All of them.")


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        ("a", "a string"),
        (True, "a boolean"),
        (1, "an integer"),
        (1.0, "a number with a fraction"),
        ([], "a list"),
        ({}, "an object"),
    ],
)
def test_kinds_are_named_as_json_names_them(value: Any, name: str) -> None:
    assert kind_of(value) == name


def test_refusals() -> None:
    refuse_if_asked({"a": False, "b": None}, "a", "b")
    with pytest.raises(InvalidField, match="'b' is not served by this model") as caught:
        refuse_if_asked({"b": True}, "a", "b")
    assert caught.value.param == "b"
    with pytest.raises(InvalidField, match="GET /v1/models"):
        model_name({"model": 1})
