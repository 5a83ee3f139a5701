"""Which of the two ways of calling a model its card asks for."""

from __future__ import annotations

from gateway.batching.call import ModelCall
from gateway.cards.schema import Card
from gateway.service.model_call import TritonCall
from gateway.service.unpadded_call import UnpaddedCall
from gateway.triton.engine import Engine


def call_of(card: Card, engine: Engine) -> ModelCall:
    """The call that computes this card's rows. Raises `ConfigurationError` for a card that lacks an output for it."""
    return UnpaddedCall(card, engine) if card.triton.takes_rows_unpadded else TritonCall(card, engine)
