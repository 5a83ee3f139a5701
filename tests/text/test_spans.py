from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.text.joining import JoinedText, join
from gateway.text.spans import part_spans
from gateway.text.tokenizer import OffsetTokens, TextTokenizer
from tests.support.tokenizer_kinds import KINDS

LETTERS = "the cat ab\n\n!é你好世界ﬁ½ﷺ🙂👩\u200d👧\u0301\u200b\u00ad日本カ\t"
parts = st.lists(
    st.text(LETTERS, min_size=1, max_size=12).filter(lambda text: not text.isspace()), min_size=1, max_size=8
)
prefixes = st.sampled_from(["", "the cat: ", "e", "\u200b"])


@cache
def tokenizer(kind: str) -> TextTokenizer:
    return TextTokenizer(KINDS[kind](), max_tokens=10_000, max_text_bytes=10**6)


def read(kind: str, some: Sequence[str], prefix: str = "") -> tuple[JoinedText, OffsetTokens, list[list[int]]]:
    joined = join(some, prefix=prefix)
    [tokens] = tokenizer(kind).encode_with_offsets([joined.text])
    return joined, tokens, part_spans(joined.places, tokens).tolist()


def spelled_out(joined: JoinedText, tokens: OffsetTokens) -> list[list[int]]:
    """The rule of `part_spans`, token by token and part by part."""
    places = joined.places.tolist()
    owners, covers, begin = [], [], 0
    for start, end in tokens.offsets.tolist():
        begin = max(begin, start)
        owners.append(next((number for number, (_, last) in enumerate(places[:-1]) if begin < last), len(places) - 1))
        covers.append({number for number, (first, last) in enumerate(places) if begin < last and end > first})
    spans = []
    for number in range(len(places)):
        covering = [place for place, covered in enumerate(covers) if number in covered]
        own = [place for place, owner in enumerate(owners) if owner == number] or covering
        span = [own[0] + tokens.leading, own[-1] + 1 + tokens.leading] if covering else [0, 0]
        if covering and number == 0:
            span[0] = 0
        if covering and number == len(places) - 1:
            span[1] = len(tokens.ids)
        spans.append(span)
    return spans


@pytest.mark.parametrize("kind", KINDS)
@given(some=parts, prefix=prefixes)
def test_spans_follow_the_rule(kind: str, some: list[str], prefix: str) -> None:
    joined, tokens, spans = read(kind, some, prefix)
    assert spans == spelled_out(joined, tokens)


def is_marks(text: str) -> bool:
    """Nothing but accents and the like, which become one character with the letter that a prefix ends with."""
    return all(map(unicodedata.combining, text))


@pytest.mark.parametrize("kind", KINDS)
@given(some=parts, prefix=prefixes)
@example(some=["\u0301"], prefix="e")
def test_every_token_belongs_to_a_part_and_none_to_two_that_begin_one_each(
    kind: str, some: list[str], prefix: str
) -> None:
    joined, tokens, spans = read(kind, some, prefix)
    lost = [text for text, (start, end) in zip(some, spans, strict=True) if start == end]
    if lost:
        assert kind != "xlm-roberta" or all(map(is_marks, lost)), "this tokenizer drops nothing but white space"
        return
    assert {token for start, end in spans for token in range(start, end)} == set(range(len(tokens.ids)))
    assert all(start < end for start, end in spans)
    assert (spans[0][0], spans[-1][1]) == (0, len(tokens.ids))
    assert spans == sorted(spans)
    begins = np.maximum.accumulate(tokens.offsets[:, 0])[[start - tokens.leading for start, _ in spans[1:]]]
    if all(begins >= joined.places[:-1, 1]):
        assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]], "spans part the tokens"


WORDS = st.lists(st.sampled_from(["the", "cat", "apples", "über", "house."]), min_size=1, max_size=5).map(" ".join)


@given(some=st.lists(WORDS, min_size=1, max_size=6))
def test_the_words_of_a_part_are_the_tokens_of_its_span(some: list[str]) -> None:
    """Where parts are whole words, a part's tokens are those it has by itself."""
    _, tokens, spans = read("xlm-roberta", some)
    inner = [[start + (place == 0), end - (place == len(some) - 1)] for place, (start, end) in enumerate(spans)]
    alone = [one.ids.tolist()[1:-1] for one in tokenizer("xlm-roberta").encode(some)]
    assert [tokens.ids[start:end].tolist() for start, end in inner] == alone


@given(some=st.lists(WORDS, min_size=2, max_size=6))
def test_a_space_before_a_word_belongs_to_the_word(some: list[str]) -> None:
    """Byte-level tokens begin with the space before them, which at a joint is in no part."""
    joined, tokens, spans = read("byte level", some)
    for (start, end), part, (first, _) in zip(spans, some, joined.places.tolist(), strict=True):
        begin = tokens.offsets[start, 0]
        assert joined.text[begin : tokens.offsets[end - 1, 1]].strip() == part
        assert begin == max(first - 1, 0)


def test_the_first_part_has_the_start_token_and_the_prefix_and_the_last_the_end_token() -> None:
    """As in jina-ai/late-chunking: for the text "A" with an instruction there is one span over everything."""
    for kind in KINDS:
        _, tokens, spans = read(kind, ["cat"], prefix="the cat: ")
        assert spans == [[0, len(tokens.ids)]]
    _, tokens, spans = read("bert", ["cat sat", "on mat"], prefix="the ")
    assert spans == [[0, 4], [4, 7]]  # [CLS] the cat sat | on mat [SEP]


def test_a_token_over_a_joint_belongs_to_the_part_it_begins_in() -> None:
    _, tokens, spans = read("byte level", ["ab\n", "\nab"])
    assert len(tokens.ids) == 5  # a b \n\n a b
    assert spans == [[0, 3], [3, 5]]


def test_a_part_without_a_token_of_its_own_has_the_one_that_covers_it() -> None:
    _, tokens, spans = read("across words", ["好", "世", "e"])
    assert len(tokens.ids) == 5  # the prepended space, 好世, space, e, and the token at the end
    assert spans == [[0, 2], [1, 2], [2, 5]]
    _, _, spans = read("across words", ["e", "好", "世"])
    assert spans[1:] == [[2, 4], [3, 5]], "and the last part has the end token besides"


def test_bytes_of_one_character_stay_together() -> None:
    _, tokens, spans = read("byte level", ["你", "🙂", "好"])
    assert [end - start for start, end in spans] == [2, 5, 4], "with the space before each but the first"
    assert len(tokens.ids) == 11


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_part_that_the_tokenizer_drops_has_an_empty_span(position: int) -> None:
    some = ["cat", "mat"]
    some.insert(position, "\u0301\u0301" if position else "\u200b")
    _, _, spans = read("bert", some, prefix="the ")
    assert [start == end for start, end in spans] == [place == position for place in range(3)]


def test_two_thousand_parts_of_a_long_document() -> None:
    some = [f"word{number} 你好" for number in range(2048)]
    for kind in KINDS:
        joined, tokens, spans = read(kind, some)
        assert np.all(np.diff(np.array(spans), axis=1) > 0)
        assert spans == spelled_out_quickly(joined, tokens)


def spelled_out_quickly(joined: JoinedText, tokens: OffsetTokens) -> list[list[int]]:
    firsts: dict[int, int] = {}
    ends = joined.places[:, 1].tolist()
    part = 0
    for place, start in enumerate(tokens.offsets[:, 0].tolist()):
        while part < len(ends) - 1 and start >= ends[part]:
            part += 1
        firsts.setdefault(part, place + tokens.leading)
    starts = [0, *(firsts[number] for number in range(1, len(ends)))]
    return [list(span) for span in zip(starts, [*starts[1:], len(tokens.ids)], strict=True)]


def test_a_token_whose_place_is_said_to_be_before_its_neighbours_stays_in_its_row() -> None:
    """Some normalisers give a token that they made up no place, which reads as the beginning of the text."""
    offsets = [[0, 3], [4, 7], [0, 0], [8, 11], [0, 0], [12, 15]]
    tokens = OffsetTokens(np.arange(8), np.array(offsets), leading=1, trailing=1, token_count=8)
    places = np.array([[0, 7], [8, 15]])
    assert part_spans(places, tokens).tolist() == [[0, 4], [4, 8]]
    assert part_spans(np.array([[0, 3], [4, 7], [8, 9], [9, 15]]), tokens).tolist() == [[0, 2], [2, 4], [4, 6], [6, 8]]
