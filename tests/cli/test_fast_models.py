"""Which models are computed fast, and what is said where they cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.artifacts import fast_proof
from gateway.cards.installation import FastProof, Installation
from gateway.cards.loading import load_card
from gateway.cards.schema import Card, PrecisionSpec
from gateway.cli import fast_models
from gateway.cli.fast_models import chosen_fast_models, precision_checks
from gateway.errors import ArtifactError, ConfigurationError
from gateway.settings import Settings
from gateway.types import Precision
from tests.conftest import REPOSITORY

FAST = Settings(_env_file=None, precision=Precision.FAST)  # type: ignore[call-arg]
EXACT = Settings(_env_file=None)  # type: ignore[call-arg]


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that has it all, whatever this one has."""
    monkeypatch.setattr(fast_models, "PACKAGE", "numpy")
    facts = tmp_path / "cpuinfo"
    facts.write_text("flags\t\t: fpu avx512f avx512_bf16 vaes\n")
    monkeypatch.setattr(fast_models, "CPU_FACTS", facts)


@pytest.fixture
def card() -> Card:
    return load_card(REPOSITORY / "all-MiniLM-L6-v2")


def test_exact_looks_at_nothing(monkeypatch: pytest.MonkeyPatch, card: Card) -> None:
    monkeypatch.setattr(fast_models, "proved_fast", None)
    assert chosen_fast_models(EXACT, [card]).models == ()


def test_a_processor_without_bfloat16_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, card: Card) -> None:
    facts = tmp_path / "cpuinfo"
    facts.write_text("flags\t\t: fpu avx512f avx512_vnni\n")
    monkeypatch.setattr(fast_models, "CPU_FACTS", facts)
    with pytest.raises(ConfigurationError, match="no instructions for bfloat16"):
        chosen_fast_models(FAST, [card])
    (check,) = precision_checks(FAST, [card])
    assert not check.ok
    (check,) = precision_checks(EXACT, [card])
    assert check.ok
    assert check.remedy is None


@pytest.mark.usefixtures("able")
def test_a_missing_package_is_told_with_the_command_that_brings_it(monkeypatch: pytest.MonkeyPatch, card: Card) -> None:
    monkeypatch.setattr(fast_models, "PACKAGE", "no_such_package_here")
    with pytest.raises(ConfigurationError, match="not installed") as caught:
        chosen_fast_models(FAST, [card])
    assert fast_models.INSTALL in str(caught.value.remedy)
    (check,) = precision_checks(EXACT, [card])
    assert check.ok
    assert fast_models.INSTALL in str(check.remedy)


@pytest.mark.usefixtures("able")
def test_a_model_that_may_not_be_is_served_exactly_beside_one_that_may(
    monkeypatch: pytest.MonkeyPatch, card: Card
) -> None:
    other = replace(card, name="other", precision=PrecisionSpec(why_not="its authors warn of it"))
    real = fast_models.proved_fast
    monkeypatch.setattr(fast_models, "proved_fast", lambda one: real(one) if one is other else None)
    chosen = chosen_fast_models(FAST, [card, other])
    assert chosen.models == ("all-MiniLM-L6-v2",)
    assert chosen.notes == ("other is not served fast: its authors warn of it. It is served exactly.",)
    with pytest.raises(ConfigurationError, match="its authors warn of it"):
        chosen_fast_models(FAST, [other])


@pytest.mark.parametrize(
    ("cosine", "spread", "said"), [(0.99985, 0.0, "cosine"), (float("nan"), 0.0, "cosine"), (1.0, 2e-5, "batch")]
)
def test_what_does_not_prove_itself_is_refused(cosine: float, spread: float, said: str, card: Card) -> None:
    with pytest.raises(ArtifactError, match=said):
        fast_proof._refuse(card, FastProof(min_cosine=cosine, spread=spread, machine="any"))


def test_a_proof_holds_for_the_machine_that_made_it(monkeypatch: pytest.MonkeyPatch, card: Card) -> None:
    here = FastProof(min_cosine=0.99995, spread=0.0, machine=fast_proof.this_machine())
    made = replace(here, min_cosine=0.99999)
    monkeypatch.setattr(fast_proof, "prove_fast", lambda _: made)
    noted: list[FastProof] = []
    monkeypatch.setattr(fast_proof, "_note", lambda _card, _before, proof: noted.append(proof))
    for kept, wanted in ((here, here), (replace(here, machine="another"), made), (None, made)):
        monkeypatch.setattr(fast_proof, "read_installation", lambda _, kept=kept: Installation(fast=kept))
        assert fast_proof.proved_fast(card) == wanted
    assert noted == [made, made]
    monkeypatch.setattr(fast_proof, "read_installation", lambda _: Installation(batch_invariant=False, variant="int8"))
    with pytest.raises(ArtifactError, match="int8"):
        fast_proof.proved_fast(card)


@pytest.mark.usefixtures("able")
def test_a_triton_with_backends_of_its_own_is_not_asked_to_be_fast(card: Card, tmp_path: Path) -> None:
    settings = FAST.model_copy(update={"triton_home": tmp_path})
    with pytest.raises(ConfigurationError, match="GATEWAY_TRITON_HOME"):
        chosen_fast_models(settings, [card])
    (check,) = precision_checks(settings, [card])
    assert not check.ok
