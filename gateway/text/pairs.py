"""Pairs of a query and a document as a reranker reads them: around its own special tokens, within its window.

Two ways with a document that does not fit, both of the published reranker's own code: overlapping pieces of which the
best one counts (`rerank`), or the pair cut as the tokenizer itself would (`compute_score`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.cards.schema import RerankSpec
from gateway.errors import ConfigurationError
from gateway.text.special_tokens import PairSpecials
from gateway.text.tokenizer import TextTokenizer, Tokenized
from gateway.types import Int64Array

# At most this part of the room beside the query is shared by neighbouring pieces.
_LARGEST_OVERLAP = 4


@dataclass(frozen=True, slots=True)
class PairWindow:
    """A reranker's window. `max_query_tokens` is without special tokens; at least half of the window is left for the
    document beside a query of that length."""

    specials: PairSpecials
    max_tokens: int
    max_query_tokens: int
    overlap_tokens: int

    @classmethod
    def of(cls, tokenizer: TextTokenizer, spec: RerankSpec) -> PairWindow:
        """Raises `ConfigurationError` for a tokenizer that does not part the texts of a pair, or a window too small."""
        specials = tokenizer.pair_specials
        if not len(specials.between):
            raise ConfigurationError(
                "The reranker's tokenizer puts no special token between a query and a document, so it cannot have been "
                "trained on pairs.",
                remedy="Use the tokenizer.json that the reranker was published with.",
            )
        around_query = len(tokenizer.prefix_ids) + len(tokenizer.suffix_ids)
        max_query_tokens = min(spec.max_query_tokens, tokenizer.max_tokens // 2) - around_query
        if max_query_tokens < 1 or tokenizer.max_tokens - len(specials) - max_query_tokens < 1:
            raise ConfigurationError(f"A window of {tokenizer.max_tokens} tokens has no room for a pair of texts.")
        return cls(specials, tokenizer.max_tokens, max_query_tokens, spec.overlap_tokens)

    def row(self, query: Int64Array, document: Int64Array) -> Int64Array:
        """int64 [tokens]: both, given without special tokens and short enough, as the model reads them."""
        return np.concatenate((self.specials.before, query, self.specials.between, document, self.specials.after))

    def pieces(self, query: Int64Array, document: Int64Array) -> list[Int64Array]:
        """The rows for a document of any length, in order; the query is cut to `max_query_tokens`.

        Each piece but the first repeats the end of the one before it: `overlap_tokens`, at most a quarter of the room
        beside the query, and more only in the last, which is as long as the others.
        """
        query = query[: self.max_query_tokens]
        room = self.max_tokens - len(self.specials) - len(query)
        last_start = len(document) - room
        if last_start <= 0:
            return [self.row(query, document)]
        stride = room - min(self.overlap_tokens, room // _LARGEST_OVERLAP)
        starts = (*range(0, last_start, stride), last_start)
        return [self.row(query, document[start : start + room]) for start in starts]

    def truncated(self, query: Tokenized, document: Tokenized) -> Int64Array:
        """The row of a pair cut `longest_first`, as the tokenizer's own truncation would: the longer of the two loses
        its end until both fit, or until they are equally long. `ids` of both hold at least `max_tokens` or all."""
        most = self.max_tokens - len(self.specials)
        query_tokens, document_tokens = longest_first(query.token_count, document.token_count, most=most)
        return self.row(query.ids[:query_tokens], document.ids[:document_tokens])


def longest_first(first: int, second: int, *, most: int) -> tuple[int, int]:
    """The lengths that two texts of these lengths are cut to, together at most `most`.

    Where both are longer than half of it, an odd token goes to the longer one, and of two of one length to the second.
    """
    if first + second <= most:
        return first, second
    short, long = min(first, second), max(first, second)
    if 2 * short <= most:
        long = most - short
    else:
        short, long = most // 2, most - most // 2
    return (long, short) if first > second else (short, long)
