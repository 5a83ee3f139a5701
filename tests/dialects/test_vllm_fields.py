"""How vLLM says what becomes of an input that is too long."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.vllm_fields import cut_to, keeps_end, kept_tokens, pairs_cut_to, refuse_bare_inputs
from gateway.errors import InvalidField
from gateway.types import LongDocuments, Overflow

REFUSE, END, START = Overflow.REFUSE, Overflow.TRUNCATE, Overflow.TRUNCATE_START


@pytest.mark.parametrize(
    ("fields", "given", "expected"),
    [
        ({}, REFUSE, (REFUSE, None)),
        ({}, END, (END, None)),
        ({"truncate_prompt_tokens": None, "truncation_side": None}, REFUSE, (REFUSE, None)),
        ({"truncate_prompt_tokens": -1}, REFUSE, (END, None)),
        ({"truncate_prompt_tokens": 7}, REFUSE, (END, 7)),
        ({"truncate_prompt_tokens": 7}, END, (END, 7)),
        ({"truncate_prompt_tokens": 7, "truncation_side": "left"}, REFUSE, (START, 7)),
        ({"truncate_prompt_tokens": -1, "truncation_side": "LEFT"}, REFUSE, (START, None)),
        ({"truncate_prompt_tokens": 7, "truncation_side": "right"}, REFUSE, (END, 7)),
        # The side says where, not whether.
        ({"truncation_side": "left"}, REFUSE, (REFUSE, None)),
        ({"truncation_side": "left"}, END, (START, None)),
    ],
)
def test_what_is_cut_and_where(fields: dict[str, Any], given: Overflow, expected: tuple[Overflow, int | None]) -> None:
    assert cut_to(fields, overflow=given) == expected


@pytest.mark.parametrize("value", [0, -2, 1.5, "7", True, [], {}])
def test_refused_lengths(value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        kept_tokens({"truncate_prompt_tokens": value})
    assert caught.value.param == "truncate_prompt_tokens"


@pytest.mark.parametrize("value", ["middle", 1, ["left"], True])
def test_refused_sides(value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        keeps_end({"truncation_side": value})
    assert caught.value.param == "truncation_side"


def test_pairs_lose_their_ends_only() -> None:
    assert pairs_cut_to({}) == (None, None)
    assert pairs_cut_to({"truncation_side": "right"}) == (None, None)
    assert pairs_cut_to({"truncate_prompt_tokens": -1}) == (LongDocuments.TRUNCATE, None)
    assert pairs_cut_to({"truncate_prompt_tokens": 64}) == (LongDocuments.TRUNCATE, 64)
    with pytest.raises(InvalidField) as caught:
        pairs_cut_to({"truncate_prompt_tokens": 64, "truncation_side": "left"})
    assert caught.value.param == "truncation_side"


def test_inputs_are_not_read_without_their_special_tokens() -> None:
    for fields in ({}, {"add_special_tokens": True}, {"add_special_tokens": None}, {"add_special_tokens": "odd"}):
        refuse_bare_inputs(fields, unless="messages")
    refuse_bare_inputs({"add_special_tokens": False, "messages": [1]}, unless="messages")
    with pytest.raises(InvalidField) as caught:
        refuse_bare_inputs({"add_special_tokens": False}, unless="messages")
    assert caught.value.param == "add_special_tokens"
