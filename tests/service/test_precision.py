"""What is told of a model's precision: the wish until its canary was seen, and what that shows from then on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.cards.loading import load_card
from gateway.cards.schema import PrecisionSpec
from gateway.service.precision import FAST_TOLERANCE, ServingPrecision
from gateway.types import Precision
from tests.conftest import REPOSITORY

CARD = load_card(REPOSITORY / "all-MiniLM-L6-v2")


def test_a_wish_is_believed_until_the_canary_is_seen() -> None:
    serving = ServingPrecision(CARD, wished=Precision.FAST)
    assert (serving.value, serving.tolerance) == (Precision.FAST, FAST_TOLERANCE)
    serving.see(2e-7)
    assert serving.value is Precision.EXACT
    serving.see(4e-4)
    assert serving.value is Precision.FAST


def test_exact_is_exact_only_if_the_canary_says_so() -> None:
    serving = ServingPrecision(CARD, wished=Precision.EXACT)
    assert (serving.value, serving.tolerance) == (Precision.EXACT, CARD.canary.tolerance)
    serving.see(4e-4)
    assert serving.value is Precision.FAST


def test_a_model_that_may_not_be_fast_is_held_to_its_own_tolerance() -> None:
    serving = ServingPrecision(replace(CARD, precision=PrecisionSpec(why_not="no")), wished=Precision.FAST)
    assert (serving.value, serving.tolerance) == (Precision.EXACT, CARD.canary.tolerance)


def test_the_tolerance_is_what_the_promised_cosine_allows() -> None:
    assert pytest.approx(0.014142, abs=1e-6) == FAST_TOLERANCE
