"""Every form of texts and token ids is read as stated, every other one refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.inputs import InputLimits, read_inputs, read_items, read_text_list, strings_in_modality
from gateway.errors import InvalidField, InvalidImage, TooManyInputs
from gateway.types import ImageInput, Input, TextInput, TokenInput

LIMITS = InputLimits(max_inputs=8, max_image_bytes=100)


def inputs(value: Any) -> tuple[Input, ...]:
    return read_inputs(value, name="input", vocabulary=None, limits=LIMITS)


def items(value: Any) -> tuple[Input, ...]:
    return read_items(value, name="input", limits=LIMITS)


def texts_in_list(value: Any) -> tuple[str, ...]:
    return read_text_list(value, name="input", max_inputs=8)


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
    assert items(value) == inputs(value)
    if isinstance(value, list):
        assert texts_in_list(value) == texts


def test_strings_are_what_their_modality_says() -> None:
    address = "https://h/a.png"
    for modality in (None, "text", "TEXT"):
        assert strings_in_modality(address, modality) == address
    assert inputs(strings_in_modality(address, "image")) == (ImageInput(url=address),)
    mixed = [address, {"text": "a"}]
    assert inputs(strings_in_modality(mixed, "Image")) == (ImageInput(url=address), TextInput("a"))
    assert strings_in_modality([1, 2], "image") == [1, 2]
    for unread in ("audio", "video"):
        with pytest.raises(InvalidField) as caught:
            inputs(strings_in_modality(address, unread))
        assert caught.value.code == "unsupported_modality"
    with pytest.raises(InvalidField) as caught:
        strings_in_modality("a", "smell")
    assert caught.value.param == "modality"


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
    for read in (items, texts_in_list):
        with pytest.raises(InvalidField):
            read(value)


REFUSED = [
    None, 1, 1.5, True, {}, [], [[]], [[1], []], ["a", 1], [1, "a"], ["a", None], [None], [1.0, 2.0], [True], [1, True],
    [False, 1], [-1], [[-1]], [[1.0]], [2**31], [[2**63]], [[[1]]], [["a"]], [[1], "a"], [{"text": 1}], [{}], [1, [2]],
    [{"text": "a"}, [1]], [{"text": None}], [{"type": "text"}], [{"content": "a"}],
]  # fmt: skip


@pytest.mark.parametrize("value", REFUSED)
def test_refused_values(value: Any) -> None:
    for read in (inputs, items, texts_in_list):
        with pytest.raises(InvalidField) as caught:
            read(value)
        assert caught.value.param == "input"
        assert "'input" in caught.value.message


URL = "https://example.org/a.png"
URL_FORMS: list[Any] = [
    {"image": URL}, {"url": URL}, {"image": f" {URL}\n"}, {"type": "image", "image": URL}, {"image": URL, "text": None},
    {"type": "image_url", "image_url": URL}, {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
    {"image_url": {"url": URL}}, {"type": "input_image", "image_url": URL},
]  # fmt: skip
BYTES_FORMS: list[Any] = [
    {"image": "iVBORw=="}, {"image": "iVBORw"}, {"bytes": "iVBORw"}, {"image_base64": "iVBORw"}, {"url": "iVBORw"},
    {"type": "image", "format": "base64", "value": "iVBORw"}, {"type": "image", "value": "iVBORw"},
    {"image": "data:image/png;base64,iVBORw"}, {"url": "DATA:image/png;base64,iVBORw"}, {"image": "iVB\nORw "},
    {"bytes": "data:image/png;base64,iVBORw"}, {"image_url": {"url": "data:image/png;base64,iVBORw"}},
    {"type": "image", "format": "base64", "value": "data:image/png;base64,iVBORw=="},
]  # fmt: skip


@pytest.mark.parametrize(
    ("item", "image"),
    [
        *((item, ImageInput(url=URL)) for item in URL_FORMS),
        *((item, ImageInput(data=b"\x89PNG")) for item in BYTES_FORMS),
    ],
)
def test_every_form_of_an_image_alone_and_among_texts(item: dict[str, Any], image: ImageInput) -> None:
    for read in (inputs, items):
        assert read(item) == (image,)
        assert read(["a", item, {"text": "b"}, item]) == (TextInput("a"), image, TextInput("b"), image)


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://h/a.png", "gopher://x", "HTTP://EXAMPLE.ORG", "x:y"])
def test_addresses_are_left_to_whoever_fetches_them(address: str) -> None:
    assert inputs({"image": address}) == (ImageInput(url=address),)


MEDIA: list[tuple[Any, str]] = [
    ({"pdf": "JVBER"}, "is a PDF, .* Render its pages"),
    ({"type": "pdf", "value": "JVBER"}, "is a PDF"),
    ({"text": "a", "pdf": "JVBER"}, "is a PDF"),
    ({"audio": "AAAA"}, "is audio"),
    ({"type": "input_audio", "input_audio": {"data": "AAAA"}}, "is audio"),
    ({"video_url": "https://example.org/a.mp4"}, "is a video, .* frames"),
    ({"type": "video"}, "is a video"),
    ({"content": [{"text": "a"}, {"image": "iVBORw"}]}, "one vector of several parts.* separate items"),
    ({"text": "a", "image": "iVBORw"}, "both a text and an image.* separate items"),
    ({"text": "", "url": URL}, "both a text and an image"),
]


@pytest.mark.parametrize(("item", "words"), MEDIA)
def test_what_no_model_reads_is_refused_with_what_to_do(item: dict[str, Any], words: str) -> None:
    for read in (inputs, items):
        for value in (item, ["a", item]):
            with pytest.raises(InvalidField, match=words) as caught:
                read(value)
            assert (caught.value.code, caught.value.param) == ("unsupported_modality", "input")
        with pytest.raises(InvalidField, match=r"'input\[1\]'"):
            read(["a", item])


@pytest.mark.parametrize(
    "item",
    [
        {"image": 1}, {"image": True}, {"image": ["iVBORw"]}, {"image": {"url": URL}}, {"image_url": {}},
        {"image_url": {"url": 1}}, {"bytes": [137, 80]}, {"image": "iVBORw", "url": URL},
        {"type": "text", "image": URL},
        {"type": ["image"], "image": URL}, {"type": "image", "text": "a"}, {"type": "image"}, {"value": "iVBORw"},
        {"type": "image", "format": "hex", "value": "89"}, {"type": 1, "text": "a"}, {"type": "text", "value": "a"},
    ],
)  # fmt: skip
def test_images_of_wrong_kinds(item: dict[str, Any]) -> None:
    with pytest.raises(InvalidField, match=r"'input\[2\]'") as caught:
        inputs(["a", "b", item])
    assert caught.value.param == "input"


@pytest.mark.parametrize(
    "item",
    [
        {"image": ""}, {"image": "data:image/png;base64,"}, {"image": "data:image/png,AAAA"}, {"image": "example.org"},
        {"bytes": URL}, {"image_base64": URL}, {"image": "A" * 136}, {"image": "!!!!"}, {"url": "//example.org/a.png"},
    ],
)  # fmt: skip
def test_bytes_that_cannot_be_decoded_name_their_item(item: dict[str, Any]) -> None:
    with pytest.raises(InvalidImage, match=r"^'input\[1\]' is ") as caught:
        inputs(["a", item])
    assert caught.value.param == "input"
    assert all(str(value) not in caught.value.message for value in item.values() if value)


@pytest.mark.parametrize("item", [item for item, _ in MEDIA] + URL_FORMS + BYTES_FORMS)
def test_where_texts_alone_are_read_media_are_refused_in_plain_words(item: dict[str, Any]) -> None:
    if "content" in item:
        return  # an object without a text like any other
    with pytest.raises(InvalidField, match="reads text only") as caught:
        texts_in_list(["a", item])
    assert caught.value.code == "unsupported_modality"


@pytest.mark.parametrize("item", [{"image": URL}, {"bytes": "iVBORw"}])
@pytest.mark.parametrize("others", [[[1, 2]], [1]])
def test_images_do_not_mix_with_token_ids(item: dict[str, Any], others: list[Any]) -> None:
    for value in ([item, *others], [*others, item]):
        with pytest.raises(InvalidField):
            inputs(value)


def test_missing_input_says_what_to_give() -> None:
    with pytest.raises(InvalidField, match=r"'texts' is missing. Give a string, "):
        read_inputs(None, name="texts", vocabulary=None, limits=LIMITS)


@pytest.mark.parametrize("item", ["a", [1], {"text": "a"}, {"image": URL}, {"bytes": "!"}])
def test_too_many_inputs(item: Any) -> None:
    with pytest.raises(TooManyInputs, match="9 items and the limit is 8"):
        inputs([item] * 9)


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1), min_size=1, max_size=8))
def test_token_lists_keep_order_and_ids(ids: list[list[int]]) -> None:
    assert [list(item.ids) for item in inputs(ids)] == ids  # type: ignore[union-attr]


@given(st.lists(st.text(), min_size=1, max_size=8), st.data())
def test_texts_keep_order_and_letters_in_whatever_form_they_come(texts: list[str], data: st.DataObject) -> None:
    mixed = [data.draw(st.sampled_from([text, {"text": text}, {"type": "text", "text": text}])) for text in texts]
    assert list(texts_in_list(mixed)) == texts
    assert items(mixed) == tuple(map(TextInput, texts))
