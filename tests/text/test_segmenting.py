from __future__ import annotations

from itertools import pairwise

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from gateway.text.segmenting import cut_by_structure

texts = st.text("ab .,!?\n\r\n\n\t。！」你é\u0301\u200c\u0903🏻\u200d👩👧🇩🇪ñ\u0600각\u1100", max_size=80)


def pieces(text: str, most: int) -> list[str]:
    return [text[start:end] for start, end in cut_by_structure(text, max_characters=most)]


@given(text=texts | st.text(max_size=60), most=st.integers(1, 30))
def test_pieces_cover_the_text_and_none_is_too_long(text: str, most: int) -> None:
    positions = cut_by_structure(text, max_characters=most)
    assert "".join(text[start:end] for start, end in positions) == text
    assert all(0 < end - start <= most for start, end in positions)
    assert all(left[1] == right[0] for left, right in pairwise(positions))


@given(text=texts, most=st.integers(1, 30))
def test_characters_stay_whole_unless_one_is_longer_than_a_piece(text: str, most: int) -> None:
    characters = [match.span() for match in regex.finditer(r"\X", text)]
    edges = {edge for span in characters for edge in span}
    for start, _ in cut_by_structure(text, max_characters=most)[1:]:
        if start not in edges:
            [(first, last)] = [span for span in characters if span[0] < start < span[1]]
            assert last - first > most


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("", 5, []),
        ("short", 5, ["short"]),
        ("One.\n\nTwo three.", 12, ["One.\n\n", "Two three."]),
        ("a b\nc d\n\ne f\ng h", 14, ["a b\nc d\n\n", "e f\ng h"]),
        ("one two\nthree four", 12, ["one two\n", "three four"]),
        ("One two. Three four. Five", 20, ["One two. ", "Three four. Five"]),
        ("It is 3.14 or 2.71 I say", 14, ["It is 3.14 or ", "2.71 I say"]),
        ('He said "no!" She left.', 16, ['He said "no!" ', "She left."]),
        ("你好世界。天地！人", 6, ["你好世界。", "天地！人"]),
        ("「你好。」世界人", 6, ["「你好。」", "世界人"]),
        ("क्या। नमस्ते जी", 10, ["क्या। ", "नमस्ते जी"]),
        ("one two three", 8, ["one two ", "three"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("abe\u0301fg", 3, ["ab", "e\u0301f", "g"]),
        ("🇩🇪🇫🇷🇮🇹", 3, ["🇩🇪", "🇫🇷", "🇮🇹"]),
        ("x👩\u200d👩\u200d👧y", 5, ["x", "👩\u200d👩\u200d👧", "y"]),
        ("e" + "\u0301" * 5, 2, ["e\u0301", "\u0301\u0301", "\u0301\u0301"]),
        ("ab\r\ncd", 3, ["ab", "\r\n", "cd"]),
        ("ab \u0301cd", 3, ["ab", " \u0301c", "d"]),
        ("\n" * 7, 3, ["\n" * 3, "\n" * 3, "\n"]),
    ],
)
def test_pieces_end_at_the_strongest_break_they_reach(text: str, most: int, expected: list[str]) -> None:
    assert pieces(text, most) == expected


@pytest.mark.parametrize("most", [300, 301, 999])
@pytest.mark.parametrize("character", ["🇩🇪", "👩\u200d👩\u200d👧", "e\u0301\u0302", "각", "\r\n"])
def test_characters_stay_whole_in_long_pieces_too(character: str, most: int) -> None:
    text = character * 1000
    assert all(len(piece) % len(character) == 0 for piece in pieces("a" + text, most)[1:-1])
    assert {len(piece) for piece in pieces(text, most)[:-1]} == {most - most % len(character)}


HOSTILE = {
    "no break": "a" * 300_000,
    "newlines": "\n" * 1_000_000,
    "windows newlines": "\r\n" * 150_000,
    "blank lines": "\n \t" * 100_000,
    "long blank lines": ("\n" + " " * 999) * 1000,
    "spaces": " " * 300_000,
    "full stops": "." * 300_000,
    "full stops and quotes": '."' * 150_000,
    "sentences": "a. " * 100_000,
    "CJK": "你好。" * 100_000,
    "combining marks": "e" + "\u0301" * 300_000,
    "marks on white space": " \u0301" * 150_000,
    "flags": "🇩🇪" * 150_000,
    "families": "👩\u200d" * 150_000,
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("most", [7, 1000, 100_000])
def test_hundreds_of_thousands_of_any_character_are_cut(name: str, most: int) -> None:
    """Each takes a second or so. What takes quadratic time takes hours, and runs into the suite's own limit."""
    text = HOSTILE[name]
    positions = cut_by_structure(text, max_characters=most)
    assert positions[-1][1] == len(text)
    assert all(end - start <= most for start, end in positions)
