"""Whether the running Triton answers as the files in this process do: asked, never demanded."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from gateway.artifacts.findings import Finding
from gateway.artifacts.measuring import load_tokenizer
from gateway.cards.installation import expected_canary, read_installation
from gateway.cards.schema import Card
from gateway.cli.running_triton import LIVE_SECONDS
from gateway.errors import ConfigurationError, GatewayError
from gateway.service.calling import call_of
from gateway.service.canary import canary_value
from gateway.text.canary_row import canary_row
from gateway.triton.engine import Engine
from gateway.triton.grpc_engine import GrpcEngine

CALL_SECONDS = 60.0


def prove_through_triton(cards: Sequence[Card], address: str) -> dict[str, Finding] | None:
    """For each card that Triton has loaded, whether it gives the known text's value; None where no Triton answers."""
    return asyncio.run(_prove(cards, address))


async def _prove(cards: Sequence[Card], address: str) -> dict[str, Finding] | None:
    engine = GrpcEngine(address)
    try:
        if not await engine.is_live(timeout_seconds=LIVE_SECONDS):
            return None
        ready = {status.name for status in await engine.models() if status.ready}
        return {card.name: await _finding(card, engine, address) for card in cards if card.name in ready}
    finally:
        await engine.close()


async def _finding(card: Card, engine: Engine, address: str) -> Finding:
    remedy = "Load the model again: restart Triton, or gateway up."
    try:
        row = canary_row(card, load_tokenizer(card))
        given = await canary_value(call_of(card, engine), row, timeout_seconds=CALL_SECONDS)
    except ConfigurationError as error:
        return Finding("triton", address, False, error.message, error.remedy or remedy)
    except GatewayError as error:
        return Finding("triton", address, False, error.message, remedy)
    expected = np.array(expected_canary(card, read_installation(card)))
    difference = float(np.abs(given[: len(expected)] - expected).max(initial=0.0))
    # Written so that NaN fails.
    if not difference <= card.canary.tolerance:
        detail = f"Through Triton the known text's value is off by {difference:.2e}."
        return Finding("triton", address, False, detail, remedy)
    if not expected.size:
        return Finding(
            "triton", address, True, "A finite value comes through Triton for the known text; none is known."
        )
    return Finding("triton", address, True, "The known text's value comes through Triton as it does here.")
