"""A model answers to every one of its names, in any case."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cards.registry import Registry, names_of
from gateway.errors import ConfigurationError, UnknownModel
from tests.support.tiny_bert import TinyModel

REPOSITORY = Path(__file__).parents[2] / "model_repository"


def test_short_name_hub_id_and_alias_resolve_in_any_case(tmp_path: Path) -> None:
    TinyModel().write_card(tmp_path, scratch=tmp_path)
    registry = Registry.from_repository(tmp_path)
    names = ["tiny-bert", "TINY-BERT", "someone/tiny-bert", "Someone/Tiny-BERT", "tiny", "Tiny"]
    assert {registry.resolve(name).name for name in names} == {"tiny-bert"}
    assert names_of(registry.cards[0]) == ("tiny-bert", "someone/tiny-bert", "tiny")


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    registry = Registry.from_repository(REPOSITORY)
    with pytest.raises(UnknownModel, match="all-MiniLM-L6-v2"):
        registry.resolve("text-embedding-3-small")


def test_folders_without_a_card_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "somebody-elses-model").mkdir()
    (tmp_path / "notes.txt").touch()
    assert Registry.from_repository(tmp_path).cards == ()


def test_two_models_may_not_share_a_name() -> None:
    (card,) = Registry.from_repository(REPOSITORY).cards
    other = replace(card, name="other", hub_id="someone/other", aliases=("ALL-minilm-l6-v2",))
    with pytest.raises(ConfigurationError, match="both answer to"):
        Registry([card, other])


def test_a_missing_repository_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Registry.from_repository(tmp_path / "nowhere")
    assert caught.value.remedy is not None
    assert "GATEWAY_MODEL_REPOSITORY" in caught.value.remedy
