from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.text.joining import join

parts = st.lists(st.text("ab.,  \n\t 你好。，ひラｶไทยລາວខ្មែမ漢é🙂", min_size=1, max_size=6), min_size=1, max_size=8)


@given(parts=parts, prefix=st.sampled_from(["", "Represent: ", "検索"]))
def test_every_part_is_found_where_it_is_said_to_be(parts: list[str], prefix: str) -> None:
    joined = join(parts, prefix=prefix)
    assert [joined.text[start:end] for start, end in joined.places] == parts
    assert joined.text.startswith(prefix + parts[0])
    assert joined.places[-1, 1] == len(joined.text)
    gaps = [joined.text[end:start] for end, start in zip(joined.places[:-1, 1], joined.places[1:, 0], strict=True)]
    for gap, left, right in zip(gaps, parts[:-1], parts[1:], strict=True):
        assert gap in ("", " ")
        assert not (gap and (left[-1].isspace() or right[0].isspace()))


@pytest.mark.parametrize(
    ("left", "right", "text"),
    [
        ("one", "two", "one two"),
        ("one ", "two", "one two"),
        ("one", "\ntwo", "one\ntwo"),
        ("one\n", " two", "one\n two"),
        ("one\u3000", "two", "one\u3000two"),
        ("end.", "Next", "end. Next"),
        ("你好", "世界", "你好世界"),
        ("你好。", "世界", "你好。世界"),
        ("你好", "，世界", "你好，世界"),
        ("！", "さ", "！さ"),
        ("ひら", "カタ", "ひらカタ"),
        ("ｶﾀ", "漢", "ｶﾀ漢"),
        ("สวัส", "ดี", "สวัสดี"),
        ("ສະ", "ບາຍ", "ສະບາຍ"),
        ("សួ", "ស្តី", "សួស្តី"),
        ("မင်္", "ဂလာ", "မင်္ဂလာ"),
        ("𠀀", "𪜀", "𠀀𪜀"),
        ("你好", "hello", "你好 hello"),
        ("hello", "你好", "hello 你好"),
        ("안녕", "하세요", "안녕 하세요"),
        ("नमस्", "ते", "नमस् ते"),
        ("🙂", "🙂", "🙂 🙂"),
        ("a", "\u0301", "a \u0301"),
    ],
)
def test_a_space_goes_where_nothing_else_parts_two_words(left: str, right: str, text: str) -> None:
    assert join([left, right]).text == text


def test_the_prefix_is_put_before_the_text_as_it_stands() -> None:
    assert join(["one", "two"], prefix="Query:").text == "Query:one two"
    assert join(["one", "two"], prefix="Query: ").places.tolist() == [[7, 10], [11, 14]]
