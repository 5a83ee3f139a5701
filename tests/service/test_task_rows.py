"""Which text goes to which task, adapter and Triton model, on a scripted engine that marks what it computes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from gateway.cards.schema import Role, TaskSpec, TaskTable
from gateway.cards.tasks import UnknownTask
from gateway.errors import InferenceFailed, InvalidField, TokenLimitExceeded
from gateway.service.building import Service
from gateway.service.public_model import TaskNotLoaded
from gateway.types import EmbedResult, Float32Array, OwnPrefixes, TokenInput, Vocabulary
from tests.support.running_service import request, running, until
from tests.support.scripted_engine import ScriptedEngine, token_vectors_of, vector_of
from tests.support.tiny_models import (
    ADAPTER_TASKS,
    FAMILY_MEMBERS,
    FAMILY_TASKS,
    adapter_card,
    family_cards,
    tiny_model,
)
from tests.support.tiny_tokenizer import CLS, SEP, VOCABULARY

PROMPTS = {task.name: task.prompt or "" for task in ADAPTER_TASKS.tasks}
ADAPTERS = {task.name: task.adapter for task in ADAPTER_TASKS.tasks}


def ids_of(text: str) -> list[int]:
    return [CLS, *[VOCABULARY[word] for word in text.split()], SEP]


def by_adapter(task: str, text: str, *, prompt: str | None = None) -> Float32Array:
    return vector_of(ids_of((PROMPTS[task] if prompt is None else prompt) + text), ADAPTERS[task])


def by_member(member: str, text: str) -> Float32Array:
    return vector_of(ids_of(text), FAMILY_MEMBERS.index(member))


@asynccontextmanager
async def adapters(folder: Path, **options: object) -> AsyncIterator[tuple[Service, ScriptedEngine]]:
    engine = ScriptedEngine(states={"adapters": "READY"})
    async with running(folder, engine, known=[tiny_model(adapter_card(folder))], **options) as service:
        await until(lambda: service.readiness.report().ready)
        engine.calls.clear()
        yield service, engine


@asynccontextmanager
async def family(folder: Path, *loaded: str, **options: object) -> AsyncIterator[tuple[Service, ScriptedEngine]]:
    names = [f"family-{member}" for member in loaded or FAMILY_MEMBERS]
    engine = ScriptedEngine(
        states=dict.fromkeys(names, "READY"),
        marks={f"family-{member}": number for number, member in enumerate(FAMILY_MEMBERS)},
    )
    async with running(folder, engine, known=[tiny_model(*family_cards(folder))], **options) as service:  # type: ignore[arg-type]
        await until(lambda: len(service.models.all()) == len(names))
        yield service, engine


async def embed(service: Service, *texts: str | TokenInput, **fields: object) -> EmbedResult:
    return await service.embedding.embed(request(*texts, **fields))  # type: ignore[arg-type]


def assert_vectors(result: EmbedResult, *expected: Float32Array) -> None:
    np.testing.assert_allclose(result.vectors, np.stack(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("task", list(ADAPTERS))
async def test_a_task_has_its_own_prefix_and_adapter_and_usage_counts_the_prefix(tmp_path: Path, task: str) -> None:
    async with adapters(tmp_path) as (service, _):
        result = await embed(service, "sat", task=task)
    assert_vectors(result, by_adapter(task, "sat"))
    assert result.usage.prompt_tokens == len(ids_of(PROMPTS[task] + "sat"))


@pytest.mark.parametrize(
    ("name", "fields", "task"),
    [
        ("adapters", {}, "retrieval.query"),
        ("adapters", {"side": "document"}, "retrieval.passage"),
        ("adapters", {"task": "clustering"}, "separation"),
        ("adapters:separation", {}, "separation"),
        ("adapters-passage", {}, "retrieval.passage"),
        ("adapters:separation", {"task": "classification"}, "classification"),
        ("adapters:retrieval.query", {"side": "passage"}, "retrieval.passage"),
        ("adapters-query", {"side": "document"}, "retrieval.passage"),
        ("ADAPTERS:Text-Matching", {"side": "query"}, "text-matching"),
    ],
)
async def test_the_words_of_a_request_choose_the_task(
    tmp_path: Path, name: str, fields: dict[str, str], task: str
) -> None:
    async with adapters(tmp_path) as (service, _):
        result = await embed(service, "sat", model=name, **fields)
    assert_vectors(result, by_adapter(task, "sat"))
    assert result.model == "adapters"


@pytest.mark.parametrize(
    ("name", "fields", "task"),
    [
        ("adapters", {}, "separation"),
        ("adapters", {"task": "classification"}, "classification"),
        ("adapters", {"side": "document"}, "retrieval.passage"),
        ("adapters:text-matching", {}, "text-matching"),
        ("adapters-passage", {}, "retrieval.passage"),
    ],
)
async def test_a_callers_default_stands_behind_the_request_and_the_name(
    tmp_path: Path, name: str, fields: dict[str, str], task: str
) -> None:
    async with adapters(tmp_path) as (service, _):
        result = await embed(service, "sat", model=name, default_task="clustering", **fields)
        ignored = await embed(service, "sat", default_task="no such task")
        side = await embed(service, "sat", default_task="document")
    assert_vectors(result, by_adapter(task, "sat"))
    assert_vectors(ignored, by_adapter("retrieval.query", "sat"))
    assert_vectors(side, by_adapter("retrieval.passage", "sat"))


@pytest.mark.parametrize("side", ["image", "TASK_TYPE_UNSPECIFIED"])
async def test_a_word_that_says_nothing_leaves_the_task_to_the_name_then_to_the_caller(
    tmp_path: Path, side: str
) -> None:
    """Clients of Cohere's and Gemini's have to send one."""
    async with adapters(tmp_path) as (service, _):
        of_caller = await embed(service, "sat", side=side, default_task="clustering")
        of_name = await embed(service, "sat", model="adapters:passage", side=side, default_task="clustering")
        of_card = await embed(service, "sat", side=side)
    assert_vectors(of_caller, by_adapter("separation", "sat"))
    assert_vectors(of_name, by_adapter("retrieval.passage", "sat"))
    assert_vectors(of_card, by_adapter("retrieval.query", "sat"))


async def test_an_unknown_task_is_refused_with_the_models_own(tmp_path: Path) -> None:
    async with adapters(tmp_path) as (service, engine):
        with pytest.raises(UnknownTask, match=r"retrieval\.query.*separation"):
            await embed(service, "sat", task="nonsense")
        assert engine.calls == []


async def test_ids_of_the_models_own_vocabulary_have_no_prefix(tmp_path: Path) -> None:
    async with adapters(tmp_path) as (service, _):
        result = await embed(
            service, TokenInput((VOCABULARY["sat"],), Vocabulary.MODEL), "sat", task="retrieval.passage"
        )
    assert_vectors(result, by_adapter("retrieval.passage", "sat", prompt=""), by_adapter("retrieval.passage", "sat"))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (OwnPrefixes.ROLE, [("retrieval.passage", ""), ("retrieval.query", "the cat ")]),
        (OwnPrefixes.KEEP, [("retrieval.query", ""), ("retrieval.query", "the cat ")]),
        (OwnPrefixes.IGNORE, [("retrieval.query", "the cat "), ("retrieval.query", "the cat ")]),
    ],
)
async def test_an_own_prefix_is_not_put_twice_and_may_choose_the_adapter_of_its_text(
    tmp_path: Path, policy: OwnPrefixes, expected: list[tuple[str, str]]
) -> None:
    texts = ["a mat sat", "on a mat"]
    async with adapters(tmp_path, own_prefixes=policy) as (service, _):
        result = await embed(service, *texts)
    rows = zip(texts, expected, strict=True)
    assert_vectors(result, *(by_adapter(task, text, prompt=prompt) for text, (task, prompt) in rows))


async def test_a_prefix_counts_in_the_window(tmp_path: Path) -> None:
    async with adapters(tmp_path) as (service, _):
        text = "sat " * 9
        await embed(service, text, task="separation")
        with pytest.raises(TokenLimitExceeded):
            await embed(service, text, task="retrieval.query")


async def test_a_burst_of_five_tasks_goes_in_few_calls_of_one_adapter_each(tmp_path: Path) -> None:
    dice = random.Random(7)
    asked = [(dice.choice(list(ADAPTERS)), " ".join(dice.choices(["sat", "on", "mat"], k=4))) for _ in range(64)]
    async with adapters(tmp_path) as (service, engine):
        results = await asyncio.gather(*(embed(service, text, task=task) for task, text in asked))
    for result, (task, text) in zip(results, asked, strict=True):
        assert_vectors(result, by_adapter(task, text))
    assert sum(len(call.inputs["input_ids"]) for call in engine.calls) >= len(set(asked))
    assert len(engine.calls) <= 5 * 2 + 2, "a task's two lengths at most, and a canary or two"


async def test_vectors_as_long_as_they_are_come_from_the_token_vectors(tmp_path: Path) -> None:
    async with adapters(tmp_path) as (service, engine):
        result = await embed(service, "sat", "the mat", task="separation", normalised=False, dimensions=5)
        assert {call.outputs for call in engine.calls} >= {("hidden",)}
    expected = [token_vectors_of(ids_of(text), ADAPTERS["separation"]).mean(axis=0) for text in ("sat", "the mat")]
    np.testing.assert_allclose(result.vectors, np.stack(expected)[:, :5], rtol=0, atol=1e-6)


async def test_lengths_that_a_graph_does_not_give_are_not_made_up(tmp_path: Path) -> None:
    engine = ScriptedEngine(states={"tiny": "READY"})
    async with running(tmp_path, engine) as service:
        with pytest.raises(InvalidField, match="length 1 only") as refused:
            await embed(service, "sat", normalised=False)
    assert refused.value.param == "normalized"


async def test_a_family_answers_each_task_by_its_own_member(tmp_path: Path) -> None:
    async with family(tmp_path) as (service, _):
        assert_vectors(await embed(service, "sat"), by_member("text-matching", "a mat sat"))
        assert_vectors(await embed(service, "sat", task="separation"), by_member("clustering", "a mat sat"))
        assert_vectors(await embed(service, "sat", task="retrieval"), by_member("retrieval", "a mat sat"))
        result = await embed(service, "sat", task="retrieval.query", model="acme/family")
        assert_vectors(result, by_member("retrieval", "the cat sat"))
        assert result.model == "family"


async def test_a_members_own_name_stands_for_its_task(tmp_path: Path) -> None:
    async with family(tmp_path) as (service, _):
        result = await embed(service, "sat", "the cat sat", model="acme/family-retrieval")
    assert_vectors(result, by_member("retrieval", "a mat sat"), by_member("retrieval", "the cat sat"))
    assert result.model == "family"


async def test_members_of_a_family_share_one_reader(tmp_path: Path) -> None:
    async with family(tmp_path) as (service, _):
        assert len({id(member.reader) for member in service.models.all().values()}) == 1


async def test_a_task_that_is_not_loaded_is_refused_with_those_that_are_and_the_command(tmp_path: Path) -> None:
    async with family(tmp_path, "retrieval") as (service, _):
        assert_vectors(await embed(service, "sat", task="query"), by_member("retrieval", "the cat sat"))
        with pytest.raises(TaskNotLoaded) as refused:
            await embed(service, "sat", task="clustering")
        assert "Loaded: 'retrieval.query', 'retrieval.passage'" in refused.value.message
        assert "gateway models pull family-clustering" in refused.value.message
        with pytest.raises(TaskNotLoaded, match="text-matching"):
            await embed(service, "sat")
        [listing] = service.models.list()
        assert listing.tasks == ("retrieval.query", "retrieval.passage")


@asynccontextmanager
async def two_sides(folder: Path) -> AsyncIterator[tuple[Service, ScriptedEngine]]:
    """A family whose two sides of a search are two Triton models."""
    table = TaskTable(
        tasks=(
            TaskSpec("retrieval.query", role=Role.QUERY, member="query"),
            TaskSpec("retrieval.passage", role=Role.DOCUMENT, member="passage"),
        ),
        default="retrieval.passage",
        prompts=FAMILY_TASKS.prompts,
    )
    cards = family_cards(folder, members=("query", "passage"), tasks=table)
    marks = {"family-query": 0, "family-passage": 1}
    engine = ScriptedEngine(states=dict.fromkeys(marks, "READY"), marks=marks)
    async with running(folder, engine, known=[tiny_model(*cards)], calls_in_flight=1) as service:
        await until(lambda: len(service.models.all()) == 2 and service.readiness.report().ready)
        yield service, engine


async def test_rows_of_one_request_go_to_several_members_and_come_back_in_order(tmp_path: Path) -> None:
    async with two_sides(tmp_path) as (service, _):
        result = await embed(service, "sat", "the cat sat", "on", "the cat on")
    expected = [("a mat sat", 1), ("the cat sat", 0), ("a mat on", 1), ("the cat on", 0)]
    assert_vectors(result, *(vector_of(ids_of(text), mark) for text, mark in expected))


async def test_a_row_that_fails_at_one_member_ends_the_request_and_drops_the_others(tmp_path: Path) -> None:
    async with two_sides(tmp_path) as (service, engine):
        engine.refuse_id = VOCABULARY["漢"]
        engine.slow = {"family-passage"}
        many = ["sat mat"] * 2000
        async with asyncio.timeout(5):
            with pytest.raises(InferenceFailed):
                await embed(service, *many, "the cat 漢")
        scheduler = service.models.all()["family-passage"].scheduler
        await until(lambda: scheduler.idle)
        rows = sum(len(call.inputs["input_ids"]) for call in engine.calls if call.model == "family-passage")
        assert rows < 1000, "what was not sent yet was dropped"
