"""The special tokens that a tokenizer puts around a text or a pair of texts, read off what it does with one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from gateway.types import Int64Array

_A_TEXT = "a"


@dataclass(frozen=True, slots=True)
class PairSpecials:
    """What stands before, between and after the two texts of a pair; int64 [tokens] each.

    All are empty where the tokenizer cannot tell, and `between` is where it has no template for pairs.
    """

    before: Int64Array
    between: Int64Array
    after: Int64Array

    def __len__(self) -> int:
        return len(self.before) + len(self.between) + len(self.after)


def special_ids(tokenizer: Tokenizer) -> tuple[Int64Array, Int64Array]:
    """The special tokens that the tokenizer puts before and after a text; int64 [tokens] each."""
    encoding = tokenizer.encode(_A_TEXT, add_special_tokens=True)
    ids = np.array(encoding.ids, dtype=np.int64)
    text_places = np.flatnonzero(np.array(encoding.special_tokens_mask) == 0)
    if not len(text_places):
        return ids, ids[:0]
    return ids[: text_places[0]], ids[text_places[-1] + 1 :]


def pair_specials(tokenizer: Tokenizer) -> PairSpecials:
    """The special tokens that the tokenizer puts around a pair of texts."""
    encoding = tokenizer.encode(_A_TEXT, _A_TEXT, add_special_tokens=True)
    ids = np.array(encoding.ids, dtype=np.int64)
    is_text = np.array(encoding.special_tokens_mask) == 0
    sequences = np.array([-1 if sequence is None else sequence for sequence in encoding.sequence_ids])
    first, second = (np.flatnonzero(is_text & (sequences == sequence)) for sequence in (0, 1))
    if not len(first) or not len(second):
        return PairSpecials(ids[:0], ids[:0], ids[:0])
    return PairSpecials(before=ids[: first[0]], between=ids[first[-1] + 1 : second[0]], after=ids[second[-1] + 1 :])
