"""Prompts become tasks that callers can name by the words they know."""

from __future__ import annotations

import pytest

from gateway.artifacts.adding import prompts
from gateway.artifacts.adding.prompts import read_tasks
from gateway.artifacts.adding.refusal import CannotServe
from gateway.cards import tasks
from gateway.cards.schema import Role, TaskTable
from gateway.cards.tasks import choose_task, prompt_of, task_of_text
from gateway.types import OwnPrefixes

E5 = {"prompts": {"query": "query: ", "passage": "passage: "}}


def test_every_prompt_is_a_task_and_words_for_sides_get_their_role() -> None:
    prompts = {"query": "Q: ", "document": "D: ", "STS": "sts: "}
    table = read_tasks({"prompts": prompts, "default_prompt_name": "document"})
    assert [(task.name, task.prompt, task.role) for task in table.tasks] == [
        ("query", "Q: ", Role.QUERY),
        ("document", "D: ", Role.DOCUMENT),
        ("STS", "sts: ", None),
    ]
    assert table.default == "document"


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"prompts": {}},
        {"prompts": None},
        {"prompts": {"query": "", "document": None}, "default_prompt_name": None},
    ],
)
def test_prompts_without_a_word_are_no_tasks(config: dict[str, object]) -> None:
    assert read_tasks(config) == TaskTable()


def test_an_empty_prompt_beside_others_stays_a_task() -> None:
    table = read_tasks({"prompts": {"query": "Represent this sentence: ", "document": ""}})
    assert [task.prompt for task in table.tasks] == ["Represent this sentence: ", ""]
    assert table.default is None


@pytest.mark.parametrize(
    ("word", "prompt"),
    [
        ("query", "query: "),
        ("passage", "passage: "),
        ("document", "passage: "),
        ("search_document", "passage: "),
        ("RETRIEVAL_QUERY", "query: "),
        ("retrieval.query", "query: "),
        ("retrieval.passage", "passage: "),
        (None, ""),
    ],
)
def test_callers_words_reach_the_prompt(word: str | None, prompt: str) -> None:
    table = read_tasks(E5)
    choice = choose_task(table, task=word, role=None)
    assert prompt_of(table, choice.task, choice.role) == prompt
    assert task_of_text(table, choice, "a text", own_prefixes=OwnPrefixes.ROLE).prefix == prompt


def test_of_several_prompts_for_a_side_the_plainest_stands_for_it() -> None:
    table = read_tasks(
        {"prompts": {"Retrieval-query": "a", "query": "b", "s2p_query": "c", "doc": "d", "passage": "e"}}
    )
    roles = {task.name: task.role for task in table.tasks if task.role is not None}
    assert roles == {"query": Role.QUERY, "passage": Role.DOCUMENT}


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"prompts": ["query: "]}, "no table of names"),
        ({"prompts": {"query": 7}}, "is no named text"),
        ({"prompts": {" ": "x"}}, "is no named text"),
        ({"prompts": {"Query": "a", "query": "b"}}, "same name but for its spelling"),
        ({"prompts": {"a_b": "a", "a-b": "b"}}, "same name but for its spelling"),
        ({"prompts": {"query": "\ud800"}}, "not valid Unicode"),
        ({"prompts": {"query": "q"}, "default_prompt_name": "nope"}, "default_prompt_name is 'nope'"),
    ],
)
def test_prompts_that_cannot_be_followed_are_refused(config: dict[str, object], why: str) -> None:
    with pytest.raises(CannotServe, match=why):
        read_tasks(config)


def test_every_word_for_a_side_is_one_that_callers_may_use_for_it() -> None:
    for role, words in prompts._SIDES.items():
        for word in words:
            assert tasks.plain_word(word) == word
            assert tasks._ROLE_WORDS[word] is role
