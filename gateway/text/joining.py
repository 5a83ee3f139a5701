"""The parts of a document, put together again as the text they were cut from.

A chunker drops the white space at its cuts, or keeps it on one side, so a space is put back where nothing else parts
two words. Scripts that are written without spaces get none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

from gateway.types import Int64Array

# Blocks of the Unicode standard, [first, last], ascending: the scripts, and the punctuation that is set with them.
_UNSPACED_BLOCKS = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x19E0, 0x19FF),  # Khmer symbols
    (0x2E80, 0x312F),  # CJK radicals and punctuation, Hiragana, Katakana, Bopomofo
    (0x3190, 0x4DBF),  # Kanbun, CJK strokes, Katakana extensions, enclosed and compatibility CJK, CJK extension A
    (0x4E00, 0x9FFF),  # CJK ideographs
    (0xA9E0, 0xA9FF),  # Myanmar extended B
    (0xAA60, 0xAA7F),  # Myanmar extended A
    (0xF900, 0xFAFF),  # CJK compatibility ideographs
    (0xFE30, 0xFE4F),  # CJK compatibility forms
    (0xFF00, 0xFF9F),  # full-width forms, half-width Katakana
    (0x1AFF0, 0x1B16F),  # Kana extensions
    (0x20000, 0x3FFFF),  # CJK extensions B and later
)
_FIRSTS = tuple(first for first, _ in _UNSPACED_BLOCKS)


@dataclass(frozen=True, slots=True)
class JoinedText:
    """`text` holds the prefix, then the parts in order. `places` is int64 [parts, 2]: the [start, end) of each in
    characters."""

    text: str
    places: Int64Array


def join(parts: Sequence[str], *, prefix: str = "") -> JoinedText:
    """Puts `parts` (none of them empty) together behind `prefix`: as they are, with one space at a joint that has no
    white space on either side, unless the letters on both sides are of scripts written without spaces."""
    gaps = ["", *("" if _are_joined(left[-1], right[0]) else " " for left, right in pairwise(parts))]
    lengths = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts))
    gap_lengths = np.fromiter(map(len, gaps), dtype=np.int64, count=len(parts))
    ends = len(prefix) + np.cumsum(lengths + gap_lengths)
    text = prefix + "".join(chain.from_iterable(zip(gaps, parts, strict=True)))
    return JoinedText(text, np.stack((ends - lengths, ends), axis=1))


def _are_joined(left: str, right: str) -> bool:
    """Whether nothing belongs between two parts of which one ends with `left` and the next begins with `right`."""
    return left.isspace() or right.isspace() or (_is_unspaced(left) and _is_unspaced(right))


def _is_unspaced(letter: str) -> bool:
    block = bisect_right(_FIRSTS, ord(letter)) - 1
    return block >= 0 and ord(letter) <= _UNSPACED_BLOCKS[block][1]
