"""What vLLM's requests for vectors and scores have in common: how much of an input is kept, and from which end."""

from __future__ import annotations

from typing import Any

from gateway.dialects.fields import Fields, whole_number, word
from gateway.errors import InvalidField
from gateway.types import LongDocuments, Overflow

TRUNCATE = "truncate_prompt_tokens"
TRUNCATION_SIDE = "truncation_side"

_WHOLE_WINDOW = -1
_LEFT, _RIGHT = "left", "right"


def cut_to(fields: Fields, *, overflow: Overflow) -> tuple[Overflow, int | None]:
    """What becomes of an input that is too long, and how many tokens of it are kept, None for as many as the model
    reads. `overflow` is what the request says of it in other words. Raises `InvalidField`."""
    kept = kept_tokens(fields)
    if kept is not None and overflow is Overflow.REFUSE:
        overflow = Overflow.TRUNCATE
    if keeps_end(fields) and overflow is Overflow.TRUNCATE:
        overflow = Overflow.TRUNCATE_START
    return overflow, None if kept == _WHOLE_WINDOW else kept


def kept_tokens(fields: Fields) -> int | None:
    """`truncate_prompt_tokens`: -1 stands for the model's window, None says nothing. Raises `InvalidField`."""
    kept = whole_number(
        fields, TRUNCATE, minimum=_WHOLE_WINDOW, otherwise="-1 keeps as many tokens as the model reads."
    )
    if kept == 0:
        raise InvalidField(
            f"'{TRUNCATE}' has to be 1 or more, or -1: of 0 tokens there is no vector and no score.", param=TRUNCATE
        )
    return kept


def keeps_end(fields: Fields) -> bool:
    """Whether what is too long loses its beginning instead of its end. Raises `InvalidField`."""
    side = (word(fields, TRUNCATION_SIDE) or _RIGHT).lower()
    if side not in (_LEFT, _RIGHT):
        raise InvalidField(f"'{TRUNCATION_SIDE}' has to be left or right.", param=TRUNCATION_SIDE)
    return side == _LEFT


def pairs_cut_to(fields: Fields) -> tuple[LongDocuments | None, int | None]:
    """What becomes of a pair that is too long, None for whatever the server is set to, and how many tokens of it are
    kept, None for as many as the model reads. Raises `InvalidField`, also for pairs that are to lose their beginnings.
    """
    if keeps_end(fields):
        raise InvalidField(
            f"'{TRUNCATION_SIDE}' has to be right here: pairs of texts cannot lose their beginnings.",
            param=TRUNCATION_SIDE,
        )
    kept = kept_tokens(fields)
    if kept is None:
        return None, None
    return LongDocuments.TRUNCATE, None if kept == _WHOLE_WINDOW else kept


def refuse_bare_inputs(fields: Fields, *, unless: str) -> None:
    """For `add_special_tokens` false, which would make other vectors than the model's; conversations, in the field
    `unless`, come without by vLLM's own default, because their template has them. Raises `InvalidField`."""
    asked: Any = fields.get("add_special_tokens")
    if asked is False and fields.get(unless) is None:
        raise InvalidField(
            "'add_special_tokens' has to be true or left out: the models here are read with their special tokens.",
            param="add_special_tokens",
        )
