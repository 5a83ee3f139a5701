"""jina-embeddings-v4 by its own name: the model of that name where it is served, else one of its merged checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.cards.installation import Installation
from gateway.cards.registry import Registry
from gateway.cards.tasks import UnknownTask
from gateway.errors import UnknownModel
from gateway.service.public_model import ServedModel
from gateway.service.served_models import ServedModels

REGISTRY = Registry.from_repository(Path(__file__).parents[2] / "model_repository")
V4 = "jina-embeddings-v4"
RETRIEVAL, MATCHING, CODE = f"{V4}-vllm-retrieval", f"{V4}-vllm-text-matching", f"{V4}-vllm-code"


def served(*names: str, default_tasks: Mapping[str, str] | None = None, registry: Registry = REGISTRY) -> ServedModels:
    models, nothing = ServedModels(registry, default_model=None, default_tasks=default_tasks), cast(Any, None)
    for card in registry.cards:
        if card.name in names:
            model = ServedModel(card, reader=nothing, scheduler=nothing, shared=nothing, installation=Installation())
            models.put(model)
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


@pytest.mark.parametrize(
    ("name", "words", "taken"),
    [
        (V4, {}, RETRIEVAL),
        (V4, {"task": "retrieval.query"}, RETRIEVAL),
        (V4, {"side": "query"}, RETRIEVAL),
        (V4, {"task": "text-matching"}, MATCHING),
        (V4, {"task": "code.passage"}, CODE),
        (V4, {"task": "code", "side": "query"}, CODE),
        (f"{V4}:text-matching", {}, MATCHING),
        (f"{V4}-code.query", {"side": "document"}, CODE),
        (V4, {"task": "no such task"}, CODE),
        (V4, {"preferred": "text-matching"}, MATCHING),
        (V4, {"preferred": "classification"}, RETRIEVAL),
    ],
)
def test_of_several_checkpoints_the_one_that_has_the_task_takes_the_name(
    name: str, words: dict[str, str], taken: str
) -> None:
    models = served(RETRIEVAL, MATCHING, CODE)
    for _ in range(2):  # the second time it is remembered
        assert models.find(name, **words).name == taken


@pytest.mark.parametrize(
    ("words", "taken"),
    [({"task": "text-matching"}, MATCHING), ({"task": "retrieval.query"}, RETRIEVAL), ({"task": "none"}, RETRIEVAL)],
)
def test_a_repository_without_the_whole_model_goes_by_the_task_too(words: dict[str, str], taken: str) -> None:
    merged = Registry(model for model in REGISTRY.models if model.name in (RETRIEVAL, MATCHING))
    assert served(RETRIEVAL, MATCHING, registry=merged).find(V4, **words).name == taken


def test_without_a_task_the_operators_default_finds_the_checkpoint() -> None:
    models = served(RETRIEVAL, MATCHING, CODE, default_tasks={V4: "text-matching", MATCHING: "text-matching"})
    assert models.find(V4).name == MATCHING
    assert models.resolve(V4).model.name == MATCHING
    assert models.find(V4, task="retrieval.query").name == RETRIEVAL


def test_where_no_checkpoint_has_the_task_the_first_one_says_so() -> None:
    models = served(RETRIEVAL, CODE)
    assert models.find(V4, task="text-matching").name == CODE


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
