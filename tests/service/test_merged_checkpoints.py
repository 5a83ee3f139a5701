"""jina-embeddings-v4 by its own name: the model of that name where it is served, else one of its merged checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from gateway.cards.installation import Installation
from gateway.cards.registry import Registry
from gateway.cards.tasks import UnknownTask
from gateway.errors import UnknownModel
from gateway.service.served_models import ServedModel, ServedModels

REGISTRY = Registry.from_repository(Path(__file__).parents[2] / "model_repository")
V4 = "jina-embeddings-v4"
RETRIEVAL, MATCHING = f"{V4}-vllm-retrieval", f"{V4}-vllm-text-matching"


def served(*names: str) -> ServedModels:
    models, nothing = ServedModels(REGISTRY, default_model=None), cast(Any, None)
    for card in REGISTRY.cards:
        if card.name in names:
            models.put(ServedModel(card, reader=nothing, scheduler=nothing, installation=Installation()))
    return models


@pytest.mark.parametrize("name", [V4, "jinaai/jina-embeddings-v4", V4.upper()])
@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ((V4, RETRIEVAL, MATCHING), V4),
        ((V4,), V4),
        ((RETRIEVAL,), RETRIEVAL),
        ((MATCHING, "all-MiniLM-L6-v2"), MATCHING),
    ],
)
def test_the_name_is_the_models_own_first(name: str, there: tuple[str, ...], taken: str) -> None:
    models = served(*there)
    assert models.find(name).name == taken
    assert models.resolve(name).model.name == taken


def test_a_task_that_only_the_whole_model_has_is_told_with_those_that_are_there() -> None:
    found = served(RETRIEVAL).find(V4)
    assert (found.choose_task(task="retrieval.query", side=None).task or found).name == "retrieval.query"
    for ask in (lambda: found.choose_task(task="text-matching", side=None), _named_by_the_model):
        with pytest.raises(UnknownTask, match=r"Its tasks are 'retrieval\.query', 'retrieval\.passage'"):
            ask()


def _named_by_the_model() -> object:
    return served(RETRIEVAL).find(f"{V4}:code.query").choose_task(task=None, side=None)


def test_where_none_is_served_the_whole_model_is_the_one_to_get() -> None:
    with pytest.raises(UnknownModel, match=f"gateway models pull {V4}[^-]"):
        served("all-MiniLM-L6-v2").find(V4)


def test_a_merged_checkpoints_own_name_is_never_another_model() -> None:
    with pytest.raises(UnknownModel, match=MATCHING):
        served(V4, RETRIEVAL).find(MATCHING)
