"""Which tokens of a document belong to which of its parts, by the characters they come from.

Parts are never tokenized by themselves: a tokenizer gives other ids at their edges than inside the document.
"""

from __future__ import annotations

import numpy as np

from gateway.text.tokenizer import OffsetTokens
from gateway.types import Int64Array


def part_spans(places: Int64Array, tokens: OffsetTokens) -> Int64Array:
    """int64 [parts, 2]: the [start, end) of each part in `tokens.ids`.

    `places` is int64 [parts, 2], each part's [start, end) in the document's characters: in order, without overlap,
    none empty. A token belongs to the part in which its first character lies, one that begins between two parts to
    the second. The first part also has all that stands before it (the start token, a prefix), the last all that comes
    after it. A part in which no token begins has those that cover its characters, together with a neighbour. A part
    of which no token covers anything, because the tokenizer drops its characters, has an empty span.
    """
    # Running maxima, because an empty token's place may lie before its neighbours'.
    begins = np.maximum.accumulate(tokens.offsets[:, 0])
    ends = np.maximum.accumulate(tokens.offsets[:, 1])
    part_of_token = np.searchsorted(places[:-1, 1], begins, side="right")
    numbers = np.arange(len(places))
    own = np.stack([np.searchsorted(part_of_token, numbers, side=side) for side in ("left", "right")], axis=1)
    covering = np.stack(
        [np.searchsorted(ends, places[:, 0], side="right"), np.searchsorted(begins, places[:, 1], side="left")], axis=1
    )
    is_empty = covering[:, 0] >= covering[:, 1]
    spans = np.where((own[:, 0] < own[:, 1])[:, None], own, covering) + tokens.leading
    spans[0, 0] = 0
    spans[-1, 1] = len(tokens.ids)
    spans[is_empty] = 0
    return spans
