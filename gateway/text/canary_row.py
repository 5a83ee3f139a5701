"""The canary's text as the model reads it: with its task's prefix, adapter and, for a reranker, its query."""

from __future__ import annotations

from gateway.cards.canary_task import canary_task, canary_text
from gateway.cards.schema import Card
from gateway.text.pairs import PairWindow
from gateway.text.task_route import task_route
from gateway.text.tokenizer import TextTokenizer
from gateway.types import RowGroup, RowOutput, TokenRow


def canary_row(card: Card, tokenizer: TextTokenizer) -> TokenRow:
    """Raises `ConfigurationError` for a reranker's tokenizer that cannot put a pair together."""
    if card.reranking is not None:
        pair = tokenizer.encode_bare([card.canary.query or "", card.canary.text], most=tokenizer.max_tokens)
        [row, *_] = PairWindow.of(tokenizer, card.reranking).pieces(*(one.ids for one in pair))
        return TokenRow(row, group=RowGroup(output=RowOutput.LOGIT))
    task = canary_task(card)
    [tokenized] = tokenizer.encode([canary_text(card)])
    group, adapter = task_route(card, task)
    return TokenRow(tokenized.ids, group=group, adapter=adapter)
