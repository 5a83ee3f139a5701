"""Meeting a model that is there already, of the same repository or of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.artifacts.adding.conflicts import check_free, check_same, free_hub_id, known_cards
from gateway.artifacts.adding.plan import AddOptions
from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.errors import ConfigurationError

REPOSITORY = Path(__file__).parents[3] / "model_repository"
V2 = "jina-embeddings-v2-base-en"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.from_repository(REPOSITORY)


def card(registry: Registry, name: str = V2) -> Card:
    return registry.cards_of(name)[0]


@pytest.mark.parametrize(
    ("repository", "names"),
    [
        ("jinaai/jina-embeddings-v2-base-en", [V2]),
        ("xenova/Jina-embeddings-v2-base-en", [V2]),
        ("sentence-transformers/all-MiniLM-L6-v2", ["all-MiniLM-L6-v2"]),
        ("someone/else", []),
    ],
)
def test_a_known_repository_is_known_by_where_its_files_are_and_by_its_own_name(
    registry: Registry, repository: str, names: list[str]
) -> None:
    assert [one.name for one in known_cards(registry, repository, AddOptions())] == names


def test_a_family_is_known_as_a_whole_and_by_its_parts(registry: Registry) -> None:
    family = "jina-embeddings-v5-text-nano"
    assert len(known_cards(registry, f"jinaai/{family}", AddOptions())) == 4
    assert [one.name for one in known_cards(registry, f"jinaai/{family}-retrieval", AddOptions())] == [
        f"{family}-retrieval"
    ]


def test_another_name_asks_for_a_second_model(registry: Registry) -> None:
    assert known_cards(registry, f"jinaai/{V2}", AddOptions(name="mine")) == ()
    assert known_cards(registry, f"jinaai/{V2}", AddOptions(name=V2.upper())) == (card(registry),)
    assert free_hub_id(registry, f"jinaai/{V2}", "mine") == "mine"
    assert free_hub_id(registry, "someone/else", "else") == "someone/else"


@pytest.mark.parametrize(
    "name",
    [
        V2,
        V2.upper(),
        f"jinaai/{V2}",
        "jina-embeddings-v5-text",
        "jina-embeddings-v3-query",
        "jina-embeddings-v5-text-nano-retrieval",
    ],
)
def test_a_name_that_stands_for_something_is_taken(registry: Registry, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="is taken by the model") as caught:
        check_free(registry, name, tmp_path / "none")
    assert "--name" in (caught.value.remedy or "")


def test_a_folder_of_something_else_is_left_alone(registry: Registry, tmp_path: Path) -> None:
    check_free(registry, "mine", tmp_path / "mine")
    (tmp_path / "mine").mkdir()
    with pytest.raises(ConfigurationError, match=r"mine is there already and has no card\.toml"):
        check_free(registry, "mine", tmp_path / "mine")


def test_the_same_wishes_again_are_no_conflict(registry: Registry) -> None:
    one = card(registry)
    same = AddOptions(
        file="onnx/model.onnx", variant="quantized", pooling="mean", max_tokens=8192, licence="apache-2.0"
    )
    check_same(one, same, revision=None)
    minilm = card(registry, "all-MiniLM-L6-v2")
    check_same(minilm, AddOptions(), revision=minilm.revision)


@pytest.mark.parametrize(
    ("options", "revision", "why"),
    [
        (AddOptions(), "b" * 40, "another revision: 1110a243fdf4706b3f48f1d95db1a4f5529b4d41, not bbbb"),
        (AddOptions(pooling="cls"), None, "another pooling: mean, not cls"),
        (AddOptions(max_tokens=128), None, "another window: 256 tokens, not 128"),
        (AddOptions(licence="MIT"), None, "another licence: Apache-2.0, not MIT"),
        (AddOptions(file="model.onnx"), None, r"another file: a graph built here, not model\.onnx"),
        (AddOptions(variant="int8"), None, "another variant: the only one, not int8"),
        (AddOptions(pooling="cls", max_tokens=1), None, "pooling: mean, not cls, and another window"),
    ],
)
def test_other_wishes_are_a_conflict_that_says_how_to_go_on(
    registry: Registry, options: AddOptions, revision: str | None, why: str
) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        check_same(card(registry, "all-MiniLM-L6-v2"), options, revision=revision)
    assert "card.toml" in (caught.value.remedy or "")
    assert "--name" in (caught.value.remedy or "")
