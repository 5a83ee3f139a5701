"""A model answers to every one of its names, in any case, and a task may ride on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cards.registry import Registry
from gateway.cards.schema import Model, TaskSpec, TaskTable
from gateway.errors import ConfigurationError, UnknownModel
from tests.support.tiny_bert import TinyModel

REPOSITORY = Path(__file__).parents[2] / "model_repository"
SHIPPED = Registry.from_repository(REPOSITORY)
V3, NANO, SMALL = "jina-embeddings-v3", "jina-embeddings-v5-text-nano", "jina-embeddings-v5-text-small"
V4, MERGED = "jina-embeddings-v4", ("code", "retrieval", "text-matching")
MEMBERS = ("retrieval", "text-matching", "clustering", "classification")

WITH_TASKS = [(model.name, task.name) for model in SHIPPED.models for task in model.card.tasks.tasks]


def test_short_name_hub_id_and_alias_are_found_in_any_case(tmp_path: Path) -> None:
    TinyModel().write_card(tmp_path, scratch=tmp_path)
    registry = Registry.from_repository(tmp_path)
    for name in ("tiny-bert", "TINY-BERT", "someone/tiny-bert", "Someone/Tiny-BERT", "tiny", "Tiny"):
        found = registry.find(name)
        assert [model.name for model in found.models] == ["tiny-bert"]
        assert (found.task, found.default) == (None, None)
    assert registry.models[0].names == ("tiny-bert", "someone/tiny-bert", "tiny")


def test_the_shipped_models_are_the_family() -> None:
    assert [model.name for model in SHIPPED.models] == [
        "all-MiniLM-L6-v2",
        "jina-embeddings-v2-base-en",
        "jina-embeddings-v3",
        "jina-embeddings-v4",
        "jina-embeddings-v4-vllm-code",
        "jina-embeddings-v4-vllm-retrieval",
        "jina-embeddings-v4-vllm-text-matching",
        "jina-embeddings-v5-text-nano",
        "jina-embeddings-v5-text-small",
        "jina-reranker-v2-base-multilingual",
    ]


@pytest.mark.parametrize("model", SHIPPED.models, ids=lambda model: model.name)
def test_every_shipped_model_is_found_by_every_name(model: Model) -> None:
    for name in model.names:
        for spelling in (name, name.upper(), name.lower(), name.title()):
            found = SHIPPED.find(spelling)
            assert (found.models[0], found.task, found.default) == (model, None, None)


@pytest.mark.parametrize(("model", "task"), WITH_TASKS)
@pytest.mark.parametrize("joint", ["-", ":"])
@pytest.mark.parametrize("owner", ["", "jinaai/"])
def test_every_task_may_ride_on_the_name(model: str, task: str, joint: str, owner: str) -> None:
    # A member has the name of its model and task, and stands for that task then.
    found = SHIPPED.find(f"{owner}{model}{joint}{task}")
    assert found.models[0].name == model
    assert (found.task or found.default) == task


@pytest.mark.parametrize("name", [V4, f"jinaai/{V4}", V4.upper()])
def test_the_merged_checkpoints_stand_in_for_the_model_whose_name_they_share(name: str) -> None:
    found = SHIPPED.find(name)
    assert [model.name for model in found.models] == [V4, *(f"{V4}-vllm-{task}" for task in MERGED)]
    assert (found.task, found.default) == (None, None)
    # To an operator it is the model of that name alone.
    assert [card.name for card in SHIPPED.cards_of(name)] == [V4]


def test_a_task_rides_on_a_name_that_models_share() -> None:
    found = SHIPPED.find(f"{V4}:text-matching")
    assert found.models[0].name == V4
    assert len(found.models) == 1 + len(MERGED)
    assert found.task == "text-matching"


@pytest.mark.parametrize("task", MERGED)
def test_a_merged_checkpoints_own_name_is_its_alone(task: str) -> None:
    assert [model.name for model in SHIPPED.find(f"jinaai/{V4}-vllm-{task}").models] == [f"{V4}-vllm-{task}"]


@pytest.mark.parametrize(
    ("name", "model", "task"),
    [
        ("jinaai/jina-embeddings-v3-query", V3, "query"),
        ("jina-embeddings-v3-passage", V3, "passage"),
        ("jina-embeddings-v3:clustering", V3, "clustering"),
        ("JINA-EMBEDDINGS-V3:RETRIEVAL.QUERY", V3, "RETRIEVAL.QUERY"),
        ("jina-embeddings-v3-RETRIEVAL_DOCUMENT", V3, "RETRIEVAL_DOCUMENT"),
        ("jina-embeddings-v5-text-nano:separation", NANO, "separation"),
        ("jinaai/jina-embeddings-v5-text-small-query", SMALL, "query"),
        ("jina-embeddings-v5-text-small:retrieval", SMALL, "retrieval"),
    ],
)
def test_other_words_for_a_task_may_ride_on_the_name(name: str, model: str, task: str) -> None:
    found = SHIPPED.find(name)
    assert ([one.name for one in found.models], found.task) == ([model], task)


@pytest.mark.parametrize(
    "name",
    [
        "jina-embeddings-v3-summarisation",
        "jina-embeddings-v3-",
        "jina-embeddings-v3:",
        "jina-embeddings-v3query",
        # These have no tasks that could ride on their names.
        "jina-embeddings-v2-base-en-query",
        "all-MiniLM-L6-v2:retrieval.query",
        "jina-reranker-v2-base-multilingual:query",
        # What clients of other services send as their default; none of them means a model of ours.
        "text-embedding-ada-002",
        "text-embedding-3-small",
        "",
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownModel) as caught:
        SHIPPED.find(name)
    assert all(model.name in caught.value.message for model in SHIPPED.models)


@pytest.mark.parametrize("owner", ["", "jinaai/"])
@pytest.mark.parametrize("size", [NANO, SMALL])
@pytest.mark.parametrize(
    ("member", "task"),
    [("retrieval", "retrieval.passage"), *((member, member) for member in MEMBERS if member != "retrieval")],
)
def test_a_members_own_name_stands_for_its_task(owner: str, size: str, member: str, task: str) -> None:
    found = SHIPPED.find(f"{owner}{size}-{member}")
    assert ([model.name for model in found.models], found.task, found.default) == ([size], None, task)


def test_a_side_on_a_members_name_leaves_the_member_its_task() -> None:
    found = SHIPPED.find(f"{NANO}-clustering:query")
    assert (found.task, found.default) == ("query", "clustering")


@pytest.mark.parametrize(
    "name", ["jina-embeddings-v5-text", "jinaai/Jina-Embeddings-v5-Text", "jina-embeddings-v5-text-retrieval"]
)
def test_a_name_without_a_size_is_shared_by_both(name: str) -> None:
    found = SHIPPED.find(name)
    assert [model.name for model in found.models] == [NANO, SMALL]
    assert (found.task, found.default) == (None, "retrieval.passage")


def test_a_task_may_ride_on_a_shared_name() -> None:
    found = SHIPPED.find("jina-embeddings-v5-text:text-matching")
    assert ([model.name for model in found.models], found.task) == ([NANO, SMALL], "text-matching")


def test_the_longest_model_name_is_the_one_that_a_task_rides_on() -> None:
    def model(name: str, task: str) -> Model:
        original = SHIPPED.find(V3).models[0]
        card = replace(original.card, name=name, hub_id=f"acme/{name}", tasks=TaskTable(tasks=(TaskSpec(task),)))
        return replace(original, name=name, hub_id=card.hub_id, cards=(card,))

    found = Registry([model("one", "two-three"), model("one-two", "three")]).find("one-two-three")
    assert ([one.name for one in found.models], found.task) == (["one-two"], "three")


def test_an_operator_gets_the_cards_that_a_name_means() -> None:
    def cards(name: str) -> list[str]:
        return [card.name for card in SHIPPED.cards_of(name)]

    assert cards(NANO) == cards(f"jinaai/{NANO}") == [f"{NANO}-{member}" for member in MEMBERS]
    assert cards(f"{NANO}-clustering") == cards(f"JINAAI/{NANO}-clustering") == [f"{NANO}-clustering"]
    assert cards("jina-embeddings-v3") == cards("jina-embeddings-v3-query") == ["jina-embeddings-v3"]
    assert cards("jina-embeddings-v5-text") == [f"{NANO}-{member}" for member in MEMBERS]
    with pytest.raises(UnknownModel):
        SHIPPED.cards_of("jina-embeddings-v9")


def test_the_card_of_a_task_is_the_member_that_computes_it() -> None:
    model = SHIPPED.find(SMALL).models[0]
    for task in model.card.tasks.tasks:
        assert model.card_for(task).name == f"{SMALL}-{task.member}"
    assert model.card_for(None) is model.card


def test_folders_without_a_card_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "somebody-elses-model").mkdir()
    (tmp_path / "notes.txt").touch()
    assert Registry.from_repository(tmp_path).cards == ()


@pytest.mark.parametrize("name", ["ALL-minilm-l6-v2", "Sentence-Transformers/all-minilm-l6-v2"])
def test_two_models_may_not_share_a_name(name: str) -> None:
    model = SHIPPED.find("all-MiniLM-L6-v2").models[0]
    other = replace(model, name="other", hub_id="someone/other", cards=(), aliases=(name,))
    with pytest.raises(ConfigurationError, match="both answer to"):
        Registry([model, other])


def test_a_model_may_not_take_the_name_of_another_ones_member() -> None:
    model = SHIPPED.find("all-MiniLM-L6-v2").models[0]
    other = replace(model, name="other", hub_id="someone/other", cards=(), aliases=(f"{NANO}-clustering",))
    with pytest.raises(ConfigurationError, match="both answer to"):
        Registry([*SHIPPED.find(NANO).models, other])


def test_a_missing_repository_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Registry.from_repository(tmp_path / "nowhere")
    assert caught.value.remedy is not None
    assert "GATEWAY_MODEL_REPOSITORY" in caught.value.remedy


ALIASES = {
    "text-embedding-3-small": "all-MiniLM-L6-v2",
    "text-embedding-3-large": "jinaai/jina-embeddings-v5-text-small",
    "search": "jina-embeddings-v3:query",
}
WITH_ALIASES = Registry(SHIPPED.models, aliases=ALIASES)


@pytest.mark.parametrize(
    ("name", "model", "task"),
    [
        ("text-embedding-3-small", "all-MiniLM-L6-v2", None),
        ("Text-Embedding-3-Small:latest", "all-MiniLM-L6-v2", None),
        ("text-embedding-3-small-query", "all-MiniLM-L6-v2", None),  # which has no tasks
        ("text-embedding-3-small:passage", "all-MiniLM-L6-v2", None),
        ("text-embedding-3-large", SMALL, None),
        ("text-embedding-3-large-query", SMALL, "query"),
        ("text-embedding-3-large:clustering", SMALL, "clustering"),
        ("search", V3, "query"),
        ("search-passage", V3, "passage"),
    ],
)
def test_the_operators_names_stand_for_models_and_tasks(name: str, model: str, task: str | None) -> None:
    found = WITH_ALIASES.find(name)
    assert (found.models[0].name, found.task) == (model, task)


@pytest.mark.parametrize("name", ["text-embedding-3-small:clustering", "text-embedding-3-smaller", "searching"])
def test_nothing_else_comes_of_them(name: str) -> None:
    with pytest.raises(UnknownModel):
        WITH_ALIASES.find(name)


@pytest.mark.parametrize(("alias", "name"), [(V3.upper(), V4), ("mine", "no-such-model"), ("mine", "search")])
def test_an_alias_has_to_be_new_and_stand_for_a_model(alias: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match=alias):
        Registry(SHIPPED.models, aliases={alias: name})


@pytest.mark.parametrize("name", [V3, f"jinaai/{V3}", f"{V3}-query", "all-MiniLM-L6-v2"])
def test_ollamas_tag_is_no_part_of_a_name(name: str) -> None:
    assert SHIPPED.find(f"{name}:latest") == SHIPPED.find(f"{name}:LATEST") == SHIPPED.find(name)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("all-minilm", "all-MiniLM-L6-v2"),
        ("all-minilm:latest", "all-MiniLM-L6-v2"),
        ("all-minilm:22m", "all-MiniLM-L6-v2"),
        ("jina/jina-embeddings-v2-base-en:latest", "jina-embeddings-v2-base-en"),
    ],
)
def test_ollamas_library_names_are_known(name: str, model: str) -> None:
    assert [one.name for one in SHIPPED.find(name).models] == [model]


@pytest.mark.parametrize("name", ["nomic-embed-text:latest", "nomic-embed-text", "NOMIC-EMBED-TEXT:LATEST"])
def test_an_alias_may_have_the_tag_that_clients_of_ollama_put_behind_names(name: str) -> None:
    registry = Registry(SHIPPED.models, aliases={"nomic-embed-text:latest": f"{V3}:query"})
    assert ([model.name for model in registry.find(name).models], registry.find(name).task) == ([V3], "query")
    with pytest.raises(ConfigurationError, match="is the name of a model already"):
        Registry(SHIPPED.models, aliases={f"{V3}:latest": V4})


@pytest.mark.parametrize("joint", ["-", ":", " "])
def test_a_name_of_megabytes_is_none(joint: str) -> None:
    """Looking at each of its places would take hours, and remembering such a name megabytes."""
    for name in (joint * 4_000_000, f"{V3}:{' ' * 4_000_000}query", f"{V3}:query{joint * 4_000_000}"):
        with pytest.raises(UnknownModel) as caught:
            SHIPPED.find(name)
        assert len(caught.value.message) < 2000
