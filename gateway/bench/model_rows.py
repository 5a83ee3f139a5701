"""The tensors that a model is fed for a text, as the gateway would feed it: what the in-process ceiling and the direct
calls to Triton compute, made beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gateway.cards.canary_task import canary_task
from gateway.cards.registry import Registry
from gateway.cards.schema import Card, ModelKind
from gateway.cards.tasks import prompt_of
from gateway.errors import ConfigurationError, UnknownModel
from gateway.service.row_values import Reading, readings_of
from gateway.text.task_route import task_route
from gateway.text.tokenizer import TextTokenizer
from gateway.triton.engine import Tensor
from gateway.triton.input_tensors import input_tensors, pad
from gateway.types import Float32Array, Int64Array, RowOutput, TokenRow

MAX_TEXT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one call: their places among the texts, and the call's tensors and 0/1 mask [rows, longest]."""

    places: Sequence[int]
    tensors: dict[str, Tensor]
    mask: Int64Array
    rows: Sequence[TokenRow]


class ModelRows:
    """One model's tokenizer, task and graph inputs."""

    def __init__(self, card: Card) -> None:
        self.card = card
        spec = card.tokenizer
        file = card.path_of(spec.file)
        self._tokenizer = TextTokenizer.from_file(file, max_tokens=spec.max_tokens, max_text_bytes=MAX_TEXT_BYTES)
        task = canary_task(card)
        self._prefix = prompt_of(card.tasks, task, None)
        self._group, _ = task_route(card, task)
        self.reading: Reading = readings_of(card)[RowOutput.VECTOR]

    def rows(self, texts: Sequence[str]) -> list[TokenRow]:
        """Cut to the window, special tokens and the default task's prefix included."""
        tokenized = self._tokenizer.encode([self._prefix + text for text in texts])
        return [TokenRow(one.ids, group=self._group) for one in tokenized]

    def batches(self, texts: Sequence[str]) -> list[Batch]:
        """Longest first, cut where longest x count would pass the card's token budget."""
        rows = self.rows(texts)
        order = sorted(range(len(rows)), key=lambda place: -len(rows[place].ids))
        found = []
        while order:
            take = max(1, self.card.batching.max_batch_tokens // len(rows[order[0]].ids))
            found.append(self._batch(order[:take], rows))
            order = order[take:]
        return found

    def _batch(self, places: Sequence[int], rows: Sequence[TokenRow]) -> Batch:
        own = [rows[place] for place in places]
        ids, mask = pad([row.ids for row in own], pad_id=self.card.tokenizer.pad_id)
        tensors = input_tensors(self.card.triton.inputs, ids, mask, adapter=self._group.adapter)
        return Batch(places, tensors, mask, own)

    def vectors(self, batch: Batch, output: Tensor) -> Sequence[Float32Array]:
        """A call's output as the vectors that a caller gets, one a row. Raises `InvalidVector`."""
        return [np.asarray(value, np.float32) for value in self.reading.read(output, batch.mask, batch.rows).values]


def benchable_card(registry: Registry, name: str) -> Card:
    """The card of a model that one ONNX graph computes. Raises `ConfigurationError` for any other, saying which."""
    try:
        cards = registry.cards_of(name)
    except UnknownModel as error:
        raise ConfigurationError(error.message, remedy="gateway models list") from None
    if len(cards) > 1:
        members = ", ".join(card.name for card in cards)
        raise ConfigurationError(f"{name} is several models. Measure one of them: {members}.")
    [card] = cards
    if card.kind is not ModelKind.EMBEDDING or not card.triton.has_graph:
        raise ConfigurationError(
            f"{name} cannot be measured here: the in-process ceiling is ONNX Runtime with an embedding model's graph.",
            remedy="Measure a model like all-MiniLM-L6-v2; benchmarks/ has commands for others.",
        )
    return card
