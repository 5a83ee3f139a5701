"""A tokenizer that is not the one its card means is told, with the line to mend."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.artifacts.tokenizer_check import TOKENIZER_CONFIG_FILE, check_tokenizer
from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from tests.support.twin_world import TwinWorld, twin_world

RERANKER = "jina-reranker-v2-base-multilingual"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwinWorld]:
    with twin_world(tmp_path) as world:
        for card in Registry.from_repository(world.models).cards:
            folder = card.path_of("1")
            folder.mkdir(exist_ok=True)
            for name in ("tokenizer.json", TOKENIZER_CONFIG_FILE):
                (folder / name).write_bytes(world.twin(card).files[name])
        yield world


def stated(card: Card, **changes: object) -> None:
    """Change what stands beside the tokenizer."""
    path = card.path_of(f"1/{TOKENIZER_CONFIG_FILE}")
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_every_twins_tokenizer_is_the_one_that_its_card_means(world: TwinWorld) -> None:
    cards = Registry.from_repository(world.models).cards
    assert len(cards) > 5
    for card in cards:
        finding = check_tokenizer(card)
        assert finding.ok, (card.name, finding)


@pytest.mark.parametrize("token", ["<mask>", {"content": "<mask>", "lstrip": True}])
def test_another_padding_token_than_the_cards(world: TwinWorld, token: object) -> None:
    card = world.card(RERANKER)
    stated(card, pad_token=token)
    finding = check_tokenizer(card)
    assert not finding.ok
    assert "Its padding token <mask> has the id" in finding.detail
    assert "the card says 1." in finding.detail
    assert finding.remedy == "Mend tokenizer.pad_id in card.toml."


def test_a_window_that_the_authors_do_not_read(world: TwinWorld) -> None:
    card = world.card(RERANKER)
    stated(card, model_max_length=512)
    finding = check_tokenizer(card)
    assert (finding.ok, finding.remedy) == (False, "Mend tokenizer.max_tokens in card.toml.")
    assert "Its authors read 512 tokens, the card says 1024." in finding.detail
    for unknown in (10**30, None, 1e30):
        stated(card, model_max_length=unknown)
        assert check_tokenizer(card).ok


def test_what_stands_beside_it_may_be_missing_or_unreadable(world: TwinWorld) -> None:
    card = world.card(RERANKER)
    for text in ("[]", "{", '{"pad_token": 3, "model_max_length": "long"}', '{"pad_token": "no such token"}'):
        card.path_of(f"1/{TOKENIZER_CONFIG_FILE}").write_text(text, encoding="utf-8")
        assert check_tokenizer(card).ok
    card.path_of(f"1/{TOKENIZER_CONFIG_FILE}").unlink()
    assert check_tokenizer(card).ok


def test_a_window_without_room_for_a_text(world: TwinWorld) -> None:
    card = world.card(RERANKER)
    for max_tokens, says in ((2, "has no room"), (4, "has no room for a pair")):
        finding = check_tokenizer(replace(card, tokenizer=replace(card.tokenizer, max_tokens=max_tokens)))
        assert not finding.ok
        assert says in finding.detail


def test_a_tokenizer_that_does_not_part_a_pair(world: TwinWorld) -> None:
    """A reranker with the tokenizer of an embedding model."""
    card = world.card(RERANKER)
    other = world.card("jina-embeddings-v5-text-small-retrieval")
    card.path_of("1/tokenizer.json").write_bytes(other.path_of("1/tokenizer.json").read_bytes())
    finding = check_tokenizer(card)
    assert not finding.ok
    assert "no special token between" in finding.detail
    assert finding.remedy
