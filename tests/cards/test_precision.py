"""Which models may be served fast by their cards, and how a card says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cards.loading import load_card
from gateway.cards.precision import why_not_fast
from gateway.cards.registry import Registry
from gateway.errors import ConfigurationError
from tests.conftest import REPOSITORY

MINILM = REPOSITORY / "all-MiniLM-L6-v2" / "card.toml"


def written(folder: Path, lines: str) -> Path:
    """The shipped card with another section on precision."""
    text = MINILM.read_text(encoding="utf-8").replace("\n[precision]\nfast_min_cosine = 0.99996\n", "\n")
    target = folder / "all-MiniLM-L6-v2"
    target.mkdir()
    (target / "card.toml").write_text(text + lines, encoding="utf-8")
    return target


def test_of_the_shipped_models_those_with_graphs_that_give_vectors_may() -> None:
    may = {card.name for card in Registry.from_repository(REPOSITORY).cards if why_not_fast(card) is None}
    assert "all-MiniLM-L6-v2" in may
    assert "jina-embeddings-v3" in may
    assert not [name for name in may if "reranker" in name or "v4" in name]


def test_a_card_forbids_it_with_its_reason(tmp_path: Path) -> None:
    card = load_card(written(tmp_path, '\n[precision]\nwhy_not = "its activations overflow"\n'))
    assert why_not_fast(card) == "its activations overflow"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("fast_min_cosine = 0.99", "a cosine from 0.9999 to 1"),
        ("fast_min_cosine = 1.5", "a cosine from 0.9999 to 1"),
        ('fast_min_cosine = 0.99995\nwhy_not = "no"', "left out"),
        ("fast = true", "no such key"),
    ],
)
def test_faults_name_the_key(tmp_path: Path, lines: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load_card(written(tmp_path, f"\n[precision]\n{lines}\n"))
