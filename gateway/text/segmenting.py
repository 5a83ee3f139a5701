"""Cutting a text into pieces where its own structure parts it: paragraphs, then lines, sentences, words.

The patterns run once over the text, in time linear in its length whatever it holds: none can begin twice in one run of
the characters that it consumes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence

import regex

# No piece begins with what belongs to the character before it.
_WHOLE = r"(?![\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}])"

_PARAGRAPH = r"\R[^\S\r\n]*+(?:\R[^\S\r\n]*+)++"
_LINE = r"\R"
# Full stops of scripts with spaces need one behind them ("3.14" is no end); those of CJK do not.
_SENTENCE = (
    r"(?:(?<![.!?…؟۔।॥։።])[.!?…؟۔।॥։።]++[\"'”’»)\]]*+\s++"
    r"|[。！？．｡]++[」』）”’】》〉〕]*+\s*+)"
)
_WORD = r"\s++"

# Strongest first. A break is where a match ends, so that what parts two pieces stays with the first.
_BREAKS = tuple(regex.compile(pattern + _WHOLE) for pattern in (_PARAGRAPH, _LINE, _SENTENCE, _WORD))
_CHARACTER = regex.compile(r"\X")
# No character of any script or emoji comes near; a text of stacked marks may.
_LONGEST_CHARACTER = 256
_REGIONAL_INDICATORS = "".join(map(chr, range(0x1F1E6, 0x1F200)))  # two of them are a flag


def cut_by_structure(text: str, *, max_characters: int) -> list[tuple[int, int]]:
    """The [start, end) of pieces that cover `text` without gap or overlap, each of 1 to `max_characters` (at least 1)
    code points; none for an empty text.

    A piece ends at the last of the strongest breaks that it can reach. Where it reaches none, it is cut between two
    characters (extended grapheme clusters, UAX 29), and inside one only where that is longer than a piece may be, or
    than 256 code points.
    """
    breaks = _breaks_of(text) if len(text) > max_characters else ()
    pieces = []
    start = 0
    while len(text) - start > max_characters:
        end = _last_break(breaks, start, start + max_characters) or _between_characters(text, start, max_characters)
        pieces.append((start, end))
        start = end
    if start < len(text):
        pieces.append((start, len(text)))
    return pieces


def _breaks_of(text: str) -> Sequence[array[int]]:
    return [array("q", (match.end() for match in pattern.finditer(text))) for pattern in _BREAKS]


def _last_break(breaks: Sequence[array[int]], start: int, limit: int) -> int | None:
    for places in breaks:
        found = bisect_right(places, limit) - 1
        if found >= 0 and places[found] > start:
            return places[found]
    return None


def _between_characters(text: str, start: int, max_characters: int) -> int:
    limit = start + max_characters
    begin = max(start, limit - _LONGEST_CHARACTER)
    before = text[start:begin]
    begin -= (len(before) - len(before.rstrip(_REGIONAL_INDICATORS))) % 2
    # One code point beyond the limit shows whether a character goes on there. A slice, because to tell flags apart the
    # pattern looks back as far as it can, again for every one.
    ends = (begin + match.end() for match in _CHARACTER.finditer(text[begin : limit + 1]))
    return max((end for end in ends if end <= limit), default=limit)
