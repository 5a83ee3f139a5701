"""Whether a model may be served fast is found out by computing, and kept in its lock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.artifacts import fast_proof
from gateway.artifacts.fast_proof import MAX_SPREAD, prove_fast, proved_fast, this_machine
from gateway.errors import ArtifactError
from gateway.types import FAST_MIN_COSINE
from tests.conftest import missing_fast, need
from tests.support.twin_world import TwinWorld, installed, twin_world

V3, NANO = "jina-embeddings-v3", "jina-embeddings-v5-text-nano-retrieval"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwinWorld]:
    need(missing_fast())
    with twin_world(tmp_path, "jina-embeddings-v5-text-nano", V3) as world:
        yield world


def test_a_model_with_adapters_proves_itself_and_its_lock_says_so(world: TwinWorld) -> None:
    card = world.card(V3)
    world.pull(card)
    assert installed(card).fast is None
    proof = proved_fast(card)
    assert FAST_MIN_COSINE <= proof.min_cosine < 1
    assert proof.spread <= MAX_SPREAD
    assert proof.machine == this_machine()
    assert installed(card).fast == proof
    assert proved_fast(card) == proof


def test_a_model_whose_positions_go_wrong_in_bfloat16_is_refused(world: TwinWorld) -> None:
    """Its graph turns vectors by their positions, and 257 is no number in bfloat16."""
    card = world.card(NANO)
    world.pull(card)
    with pytest.raises(ArtifactError, match="cosine of 0"):
        proved_fast(card)
    assert installed(card).fast is None


def test_a_process_that_cannot_compute_it_is_told(
    world: TwinWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    card = world.card(V3)
    world.pull(card)
    monkeypatch.setattr(fast_proof, "OUR_BACKENDS", tmp_path)
    with pytest.raises(ArtifactError, match=r"could not be computed in bfloat16: .*No module named"):
        prove_fast(card)
