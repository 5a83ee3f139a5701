"""Every form of texts and token ids is read as stated, every other one refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.inputs import read_inputs, read_texts
from gateway.errors import InvalidField, TooManyInputs
from gateway.types import Input, TextInput, TokenInput


def inputs(value: Any, max_inputs: int = 8) -> tuple[Input, ...]:
    return read_inputs(value, name="input", vocabulary=None, max_inputs=max_inputs)


TEXTS: list[tuple[Any, tuple[str, ...]]] = [
    ("one", ("one",)),
    ("", ("",)),
    ({"text": "a"}, ("a",)),
    ({"type": "text", "text": "a"}, ("a",)),
    (["a", "b"], ("a", "b")),
    (["", "b"], ("", "b")),
    (["x"] * 8, ("x",) * 8),
    ([{"text": "a"}, {"text": "b", "extra": 1}], ("a", "b")),
    ([{"text": "a"}, "b", {"type": "text", "text": "c", "image": None}], ("a", "b", "c")),
    (["data:image/png;base64,AAAA"], ("data:image/png;base64,AAAA",)),  # a string is a text, whatever it looks like
]


@pytest.mark.parametrize(("value", "texts"), TEXTS)
def test_accepted_texts(value: Any, texts: tuple[str, ...]) -> None:
    assert inputs(value) == tuple(map(TextInput, texts))
    assert read_texts(value, name="input", max_inputs=8) == texts


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([1, 2, 3], (TokenInput((1, 2, 3)),)),
        ([[1, 2], [0]], (TokenInput((1, 2)), TokenInput((0,)))),
        (list(range(9)), (TokenInput(tuple(range(9))),)),  # one input, however many ids
    ],
)
def test_accepted_token_ids(value: Any, expected: Any) -> None:
    assert inputs(value) == expected
    with pytest.raises(InvalidField):
        read_texts(value, name="input", max_inputs=8)


REFUSED = [
    None, 1, 1.5, True, {}, [], [[]], [[1], []], ["a", 1], [1, "a"], ["a", None], [None], [1.0, 2.0], [True], [1, True],
    [False, 1], [-1], [[-1]], [[1.0]], [2**31], [[2**63]], [[[1]]], [["a"]], [[1], "a"], [{"text": 1}], [{}], [1, [2]],
    [{"text": "a"}, [1]], [{"text": None}], [{"type": "text"}], [{"content": "a"}],
]  # fmt: skip


@pytest.mark.parametrize("value", REFUSED)
def test_refused_values(value: Any) -> None:
    for read in (inputs, lambda value: read_texts(value, name="input", max_inputs=8)):
        with pytest.raises(InvalidField) as caught:
            read(value)
        assert caught.value.param == "input"
        assert "'input" in caught.value.message


MEDIA = [
    {"image": "https://example.org/a.png"}, {"image": "iVBOR"}, {"pdf": "JVBER"}, {"url": "https://example.org/a.png"},
    {"bytes": "iVBOR"}, {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    {"type": "image", "format": "base64", "value": "iVBOR"}, {"text": "a", "image": "iVBOR"},
    {"type": "image", "text": "a"},
]  # fmt: skip


@pytest.mark.parametrize("item", MEDIA)
def test_images_and_pdfs_are_refused_in_plain_words(item: dict[str, Any]) -> None:
    for value in (item, ["a", item]):
        with pytest.raises(InvalidField, match="reads text only") as caught:
            inputs(value)
        assert caught.value.code == "unsupported_modality"
    with pytest.raises(InvalidField, match=r"'input\[1\]'"):
        inputs(["a", item])


def test_missing_input_says_what_to_give() -> None:
    with pytest.raises(InvalidField, match=r"'texts' is missing. Give a string, "):
        read_inputs(None, name="texts", vocabulary=None, max_inputs=8)


@pytest.mark.parametrize("item", ["a", [1], {"text": "a"}])
def test_too_many_inputs(item: Any) -> None:
    with pytest.raises(TooManyInputs, match="9 items and the limit is 8"):
        inputs([item] * 9)


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1), min_size=1, max_size=8))
def test_token_lists_keep_order_and_ids(ids: list[list[int]]) -> None:
    assert [list(item.ids) for item in inputs(ids)] == ids  # type: ignore[union-attr]


@given(st.lists(st.text(), min_size=1, max_size=8), st.data())
def test_texts_keep_order_and_letters_in_whatever_form_they_come(texts: list[str], data: st.DataObject) -> None:
    mixed = [data.draw(st.sampled_from([text, {"text": text}, {"type": "text", "text": text}])) for text in texts]
    assert list(read_texts(mixed, name="input", max_inputs=8)) == texts
