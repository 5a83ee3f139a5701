"""Which models `gateway up` has computed fast, and what `gateway doctor` says of that: GATEWAY_PRECISION."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.artifacts.fast_machine import CPU_FACTS, PACKAGE, this_machine
from gateway.cards.installation import FastProof
from gateway.cards.precision import why_not_fast
from gateway.cards.schema import Card
from gateway.cli.health_check import Check
from gateway.cli.postponed_stops import postponed_stops
from gateway.errors import ArtifactError, ConfigurationError
from gateway.settings import Settings
from gateway.types import Precision

INSTALL = "scripts/install_fast.sh"
EXACT = "unset GATEWAY_PRECISION"

# Linux's words for the instructions that compute in bfloat16, of AMD and Intel.
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


@dataclass(frozen=True, slots=True)
class FastModels:
    """`models` are the Triton models to compute fast; `notes` has a line for each that is served exactly instead."""

    models: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def chosen_fast_models(settings: Settings, cards: Sequence[Card]) -> FastModels:
    """What GATEWAY_PRECISION comes to for the models to be loaded. The first start proves each of them, in seconds.

    Raises `ConfigurationError` where this machine computes nothing fast, or none of these models may be.
    """
    if settings.precision is Precision.EXACT:
        return FastModels()
    reason = why_not(settings)
    if reason is not None:
        raise reason
    models, notes = [], []
    for card in cards:
        try:
            proved_fast(card)
        except ArtifactError as error:
            notes.append(f"{error.message} It is served exactly.")
        else:
            models.append(card.name)
    if notes and not models:
        raise ConfigurationError(
            f"GATEWAY_PRECISION is fast. {notes[0].removesuffix(' It is served exactly.')}", remedy=EXACT
        )
    return FastModels(tuple(models), tuple(notes))


def proved_fast(card: Card) -> FastProof:
    """As in `fast_proof`."""
    # Here, because that module computes: with packages that take long to import and much memory, which a gateway that
    # serves exactly would hold for as long as it runs.
    with postponed_stops():
        from gateway.artifacts import fast_proof

    return fast_proof.proved_fast(card)


def why_not(settings: Settings) -> ConfigurationError | None:
    """Why nothing is computed fast with these settings; None where it is."""
    if settings.triton_home is not None:
        return ConfigurationError(
            "GATEWAY_PRECISION is fast, and the Triton in GATEWAY_TRITON_HOME has an ONNX Runtime of its own, which "
            "computes exactly.",
            remedy=f"Unset GATEWAY_TRITON_HOME to serve with the one of this environment, or {EXACT}.",
        )
    return why_not_here()


def why_not_here() -> ConfigurationError | None:
    """Why nothing is computed fast on this machine; None where it is."""
    if not has_bfloat16():
        return ConfigurationError(
            "GATEWAY_PRECISION is fast, and this processor has no instructions for bfloat16 (avx512_bf16 or amx_bf16).",
            remedy=f"Serve exactly ({EXACT}), or use another machine.",
        )
    if importlib.util.find_spec(PACKAGE) is None:
        return ConfigurationError(
            f"GATEWAY_PRECISION is fast, and the package {PACKAGE} is not installed.", remedy=f"{INSTALL}, or {EXACT}"
        )
    return None


def has_bfloat16() -> bool:
    try:
        lines = CPU_FACTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return bool(BFLOAT16_FLAGS.intersection(flags))


def precision_checks(settings: Settings, cards: Sequence[Card]) -> list[Check]:
    """Fast is an offer where it is not asked for, and a fault where it is and cannot be had."""
    wanted, reason = settings.precision is Precision.FAST, why_not(settings)
    if reason is not None:
        finding = reason.message.removeprefix("GATEWAY_PRECISION is fast, and ")
        if wanted:
            return [Check("precision", ok=False, finding=f"fast is asked for, and {finding}", remedy=reason.remedy)]
        offer = f"{INSTALL}, then GATEWAY_PRECISION=fast" if has_bfloat16() else None
        return [Check("precision", ok=True, finding=f"exact; fast cannot be had: {finding}", remedy=offer)]
    if not wanted:
        offer = "GATEWAY_PRECISION=fast is 1.5 to 1.8 times as fast, cosine 0.9999 and more"
        return [Check("precision", ok=True, finding=f"exact; {this_machine()} could", remedy=offer)]
    fast = [card.name for card in cards if why_not_fast(card) is None]
    finding = f"fast, by {this_machine()}, for {', '.join(fast) or 'no installed model'}"
    return [Check("precision", ok=bool(fast), finding=finding, remedy=None if fast else EXACT)]
