"""The cards that tests run on the twins are the shipped ones: nothing but sizes and pinned bytes differs."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.cards.registry import Registry
from gateway.cards.rendering import stale_files
from tests.support.local_hub import LocalHub
from tests.support.twin_repository import SHIPPED, publish_twins, twin_names, twin_repository, twins_of

# What a twin has of its own, by the key's last word.
PATCHED = {"dimensions", "matryoshka", "max_tokens", "pad_id", "dims", "size_bytes", "sha256", "revision"}


def leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every value of a document by its path; lists of numbers count as one value."""
    if isinstance(value, dict):
        items: list[tuple[str, Any]] = list(value.items())
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        items = [(str(place), one) for place, one in enumerate(value)]
    else:
        return {path: value}
    return {key: found for name, one in items for key, found in leaves(one, (*path, name)).items()}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twin_repository(tmp_path_factory.mktemp("twins"))


V4 = "jina-embeddings-v4"


def test_every_jina_model_has_a_twin() -> None:
    shipped = [model.name for model in Registry.from_repository(SHIPPED).models if model.name.startswith("jina-")]
    assert list(twin_names()) == [name for name in shipped if not name.startswith(V4)]
    assert all(twins_of(name) for name in shipped if name.startswith(V4))


def test_a_model_of_the_python_backend_has_its_code_beside_the_card(tmp_path: Path) -> None:
    (card,) = Registry.from_repository(twin_repository(tmp_path, V4)).cards
    code = "1/model.py"
    assert card.path_of(code).read_bytes() == (SHIPPED / V4 / code).read_bytes()
    ours, theirs = (
        leaves(tomllib.loads((root / V4 / "card.toml").read_text(encoding="utf-8"))) for root in (tmp_path, SHIPPED)
    )
    differing = {path[-1] for path in theirs if ours[path] != theirs[path]}
    assert differing == {"dimensions", "token_dimensions", "dims", "matryoshka", "pad_id", "revision"}


@pytest.mark.parametrize("name", twin_names())
def test_nothing_but_sizes_and_bytes_differs(repository: Path, name: str) -> None:
    ours, theirs = (
        leaves(tomllib.loads((root / name / "card.toml").read_text(encoding="utf-8"))) for root in (repository, SHIPPED)
    )
    assert ours.keys() == theirs.keys()
    differing = {path[-1] for path, value in ours.items() if value != theirs[path]}
    assert differing <= PATCHED


def test_configs_lie_beside_the_cards_and_there_are_no_weights(repository: Path) -> None:
    cards = Registry.from_repository(repository).cards
    assert not [path for card in cards for path in stale_files(card)]
    files = {path.name for path in repository.rglob("*") if path.is_file()}
    assert files == {"card.toml", "config.pbtxt"}


def test_what_the_cards_pin_is_the_twins_bytes(repository: Path) -> None:
    for card in Registry.from_repository(repository).cards:
        (twin,) = [one for name in twin_names() for one in twins_of(name) if one.repository == card.repository]
        pinned = [file for file in card.files if file.sha256 is not None]
        for file in pinned:
            data = twin.files[str(file.hub_path)]
            assert file.sha256 == hashlib.sha256(data).hexdigest()
            assert file.size_bytes in (None, len(data))
    assert pinned


def test_a_shorter_window_fits_everything_counted_in_tokens(tmp_path: Path) -> None:
    names = ("jina-embeddings-v3", "jina-reranker-v2-base-multilingual")
    v3, reranker = Registry.from_repository(twin_repository(tmp_path, *names, max_tokens=64)).cards
    assert (v3.tokenizer.max_tokens, v3.embedding.overlap_tokens) == (64, 16)
    assert reranker.reranking is not None
    assert (reranker.reranking.max_query_tokens, reranker.reranking.overlap_tokens) == (32, 16)
    (again,) = Registry.from_repository(
        twin_repository(tmp_path / "again", names[0], max_tokens=64, overlap_tokens=8)
    ).cards
    assert again.embedding.overlap_tokens == 8


def test_the_hub_has_every_file_that_a_card_asks_for(repository: Path) -> None:
    hub = LocalHub()
    publish_twins(hub)
    wanted = {
        (card.repository, file.hub_path)
        for card in Registry.from_repository(repository).cards
        for file in card.files
        if file.hub_path
    }
    assert wanted <= hub.files.keys()
