"""The hand-written checks: accepted fields and aliases are translated as stated, others refused by name."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.dialects.embeddings_request import EmbeddingsCall, Encoding, parse_embeddings_call
from gateway.dialects.inputs import InputLimits
from gateway.errors import InvalidField
from gateway.types import EmbedRequest, ImageInput, Overflow, TextInput, TokenInput, Vocabulary

CANARY = "canary-8c1f"


def parse(fields: dict[str, Any], *, header: str | None = None) -> EmbeddingsCall:
    limits = InputLimits(max_inputs=8, max_image_bytes=1000)
    return parse_embeddings_call(fields, vocabulary_header=header, limits=limits, deadline=1.0)


def request(**fields: Any) -> EmbedRequest:
    return parse({"input": "a", **fields}).request


def encodings(**fields: Any) -> list[str]:
    return [encoding.value for encoding in parse({"input": "a", **fields}).encodings]


def test_a_request_without_fields_of_its_own_asks_for_the_defaults() -> None:
    assert parse({"input": "a"}) == EmbeddingsCall(
        EmbedRequest(
            inputs=(TextInput("a"),), deadline=1.0, model=None, dimensions=None, overflow=Overflow.REFUSE, task=None,
            side=None, normalised=True, late_chunking=False, multi_vector=False, return_tokens=False,
        ),
        (Encoding.FLOAT,),
    )  # fmt: skip


ALIASES: dict[str, tuple[tuple[str, ...], Any, Any]] = {
    "inputs": (("input", "content", "texts"), "b", (TextInput("b"),)),
    "task": (("task", "task_type"), "retrieval.query", "retrieval.query"),
    "side": (("input_type", "prompt_name"), "query", "query"),
    "dimensions": (("dimensions", "output_dimension", "output_dimensionality"), 7, 7),
    "overflow": (("truncate", "truncation"), True, Overflow.TRUNCATE),
    "normalised": (("normalized",), False, False),
    "late_chunking": (("late_chunking",), True, True),
    "multi_vector": (("return_multivector",), True, True),
    "model": (("model",), " m ", "m"),
}
EVERY_ALIAS = [(meaning, name) for meaning, (names, _, _) in ALIASES.items() for name in names]


@pytest.mark.parametrize(("meaning", "name"), EVERY_ALIAS)
def test_every_name_of_a_field_means_the_same(meaning: str, name: str) -> None:
    _, value, expected = ALIASES[meaning]
    fields = {"input": "a"} if meaning != "inputs" else {}
    assert getattr(parse({**fields, name: value}).request, meaning) == expected


@pytest.mark.parametrize("meaning", [meaning for meaning, (names, _, _) in ALIASES.items() if len(names) > 1])
def test_the_first_name_that_is_given_wins(meaning: str) -> None:
    names, value, expected = ALIASES[meaning]
    fields = {"input": "a"} if meaning != "inputs" else {}
    others = {name: [{"nonsense": 1}] for name in names[1:]}
    assert getattr(parse({**fields, **others, names[0]: value}).request, meaning) == expected
    nulls = dict.fromkeys(names[:-1])
    assert getattr(parse({**fields, **nulls, names[-1]: value}).request, meaning) == expected


def test_what_infinitys_modality_says_strings_are() -> None:
    address = "https://h/a.png"
    assert request(input=[address, "https://h/b.png"], modality="image").inputs == (
        ImageInput(url=address),
        ImageInput(url="https://h/b.png"),
    )
    for modality in (None, "", "text"):
        assert request(input=address, modality=modality).inputs == (TextInput(address),)
    for wrong in ("audio", "smell", 1):
        with pytest.raises(InvalidField):
            request(input=address, modality=wrong)


@pytest.mark.parametrize(("value", "expected"), [(None, None), (1, 1), (384, 384), (2**63, 2**63)])
def test_accepted_dimensions(value: Any, expected: int | None) -> None:
    assert request(dimensions=value).dimensions == expected


@pytest.mark.parametrize("name", ["dimensions", "output_dimension", "output_dimensionality"])
@pytest.mark.parametrize("value", [0, -1, 3.5, 10.0, "10", True, False, [], {}, "", math.inf])
def test_refused_dimensions(name: str, value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        request(**{name: value})
    assert caught.value.param == name


MULTI_FLAGS = ["return_multivector", "return_tokenized_input"]
ENCODING_NAMES = ["embedding_type", "embedding_types", "encoding_type", "output_dtype", "encoding_format"]


@pytest.mark.parametrize("name", ENCODING_NAMES)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ["float"]),
        ("", ["float"]),
        ("float", ["float"]),
        ("FLOAT", ["float"]),
        ("base64", ["base64"]),
        ("Base64", ["base64"]),
        ("binary", ["binary"]),
        ("UBinary", ["ubinary"]),
        (["float"], ["float"]),
        (["ubinary"], ["ubinary"]),
        (["ubinary", "float"], ["ubinary", "float"]),
        (["float", "BASE64", "binary", "ubinary"], ["float", "base64", "binary", "ubinary"]),
        (["binary", "float", "Binary", "float"], ["binary", "float"]),
        (["base64", "BASE64"], ["base64"]),
    ],
)
def test_accepted_encodings(name: str, value: Any, expected: list[str]) -> None:
    assert encodings(**{name: value}) == expected


@pytest.mark.parametrize("name", ENCODING_NAMES)
@pytest.mark.parametrize(
    "value",
    ["hex", "float32", "int8", 1, True, [], {}, 1.5, " float", [None], [""], [["float"]], ["float", "hex"], [1]],
)
def test_refused_encodings(name: str, value: Any) -> None:
    with pytest.raises(InvalidField, match=f"Invalid value for '{name}'. Supported values: ") as caught:
        encodings(**{name: value})
    assert caught.value.param == name


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"embedding_type": "", "encoding_format": "base64"}, ["base64"]),
        ({"embedding_type": None, "encoding_type": "binary", "encoding_format": "float"}, ["binary"]),
        # An OpenAI SDK adds base64 on its own: what was asked for beside it counts,
        ({"embedding_type": "binary", "encoding_format": "base64"}, ["binary"]),
        ({"embedding_type": ["float", "binary"], "encoding_format": "base64"}, ["float", "binary"]),
        # and floats go in the form that the SDK is going to decode.
        ({"embedding_type": "float", "encoding_format": "base64"}, ["base64"]),
        ({"embedding_type": "float", "encoding_format": "BASE64"}, ["base64"]),
        ({"embedding_type": "float", "encoding_format": "nonsense"}, ["float"]),
        ({"embedding_type": "float", "encoding_format": 7}, ["float"]),
    ],
)
def test_encodings_that_are_named_twice(fields: dict[str, Any], expected: list[str]) -> None:
    assert encodings(**fields) == expected


@pytest.mark.parametrize("name", ["truncate", "truncation", "normalized", "late_chunking", *MULTI_FLAGS])
@pytest.mark.parametrize("value", ["true", 1, 0, [], {}, "END", "", 0.5])
def test_refused_flags(name: str, value: Any) -> None:
    with pytest.raises(InvalidField, match="true or false") as caught:
        request(**{name: value})
    assert caught.value.param == name


@pytest.mark.parametrize("name", ["task", "task_type", "input_type", "prompt_name", "model"])
@pytest.mark.parametrize("value", [0, 1, True, False, [], {}, ["a"], 1.5])
def test_refused_words(name: str, value: Any) -> None:
    with pytest.raises(InvalidField, match="has to be a string") as caught:
        request(**{name: value})
    assert caught.value.param == name


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_blank_words_are_not_given(blank: str | None) -> None:
    seen = request(model=blank, task=blank, input_type=blank)
    assert (seen.model, seen.task, seen.side) == (None, None, None)
    assert request(task="", task_type="separation").task == "separation"


def test_images_and_texts_in_one_request() -> None:
    call = parse({"input": ["a", {"image": "iVBORw"}, {"url": "https://example.org/a.png"}], "model": "m"})
    expected = (TextInput("a"), ImageInput(data=b"\x89PNG"), ImageInput(url="https://example.org/a.png"))
    assert call.request.inputs == expected


def test_tokens_are_given_beside_their_vectors() -> None:
    asked = request(return_multivector=True, return_tokenized_input=True)
    assert (asked.multi_vector, asked.return_tokens) == (True, True)
    asked = request(return_multivector=True, return_tokenized_input=None, dimensions=None, normalized=True)
    assert (asked.multi_vector, asked.return_tokens) == (True, False)


@pytest.mark.parametrize("value", [None, False])
@pytest.mark.parametrize("name", ["return_multivector", "return_tokenized_input"])
def test_what_is_not_asked_for_changes_nothing(name: str, value: bool | None) -> None:
    assert parse({"input": "a", "dimensions": 8, name: value}) == parse({"input": "a", "dimensions": 8})


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


def test_unknown_and_ignored_fields_change_nothing() -> None:
    plain = parse({"input": "a"})
    assert parse({"input": "a", "user": {"any": 1}, "dimension": 3, "x" * 1000: None}) == plain


MEDIA_KEYS = ["a", "text", "type", "image", "url", "image_url", "bytes", "value", "format", "content", "pdf", "audio"]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["float", "base64", "binary", "ubinary", "retrieval.query", "text", "image", "iVBORw=="])
    | st.text("ab\xe4", max_size=8).map(lambda text: CANARY + text),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(MEDIA_KEYS), inner, max_size=3),
    max_leaves=12,
)
FIELDS = (
    *(name for names, _, _ in ALIASES.values() for name in names),
    *ENCODING_NAMES,
    *MULTI_FLAGS, "token_vocabulary", "user",
)  # fmt: skip


@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@given(fields=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=6), text=st.sampled_from([CANARY, None]))
def test_any_json_is_translated_or_refused_without_being_quoted(fields: dict[str, Any], text: str | None) -> None:
    if text is not None:
        fields = {"input": text, **fields}
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
        assert all(isinstance(item, TextInput | TokenInput | ImageInput) for item in call.request.inputs)
        assert call.encodings
        assert len(set(call.encodings)) == len(call.encodings)


def test_whose_request_it_is_goes_along() -> None:
    limits = InputLimits(max_inputs=8, max_image_bytes=100)
    call = parse_embeddings_call({"input": "a"}, vocabulary_header=None, limits=limits, deadline=1.0, caller="some one")
    assert call.request.caller == "some one"
