"""Which models may be served fast, by what is known of them before anything is computed."""

from __future__ import annotations

from gateway.cards.schema import Card, ModelKind
from gateway.cards.triton_spec import InputRole


def why_not_fast(card: Card) -> str | None:
    """The reason why a model is served exactly whatever is wished, as a part of a sentence; None for one that may be
    served fast."""
    if card.precision.why_not is not None:
        return card.precision.why_not
    if not card.triton.has_graph:
        return "it computes with PyTorch, in the type of GATEWAY_DTYPE"
    if card.kind is ModelKind.RERANKER:
        return "it gives scores, which are held to no bound in bfloat16"
    if card.triton.input(InputRole.ATTENTION_MASK) is None:
        return "its graph takes no attention mask, so rows cannot be padded to whole blocks"
    return None
