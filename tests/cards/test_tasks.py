"""Every API's words for a task mean the model's own task, and a text's own prefix is heeded as the setting says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cards.registry import Registry
from gateway.cards.schema import Role, TaskSpec, TaskTable
from gateway.cards.tasks import TaskChoice, TextTask, UnknownTask, choose_task, is_task_word, prompt_of, task_of_text
from gateway.types import OwnPrefixes

SHIPPED = Registry.from_repository(Path(__file__).parents[2] / "model_repository")
V3 = SHIPPED.find("jina-embeddings-v3").models[0].card.tasks
V5 = SHIPPED.find("jina-embeddings-v5-text-nano").models[0].card.tasks
TABLES = {"v3": V3, "v5": V5}

# Asymmetric search as other repositories have it: prompts by name, no adapters.
PROMPTS_ONLY = TaskTable(
    tasks=(
        TaskSpec("query", prompt="query: ", role=Role.QUERY),
        TaskSpec("passage", prompt="passage: ", role=Role.DOCUMENT),
    )
)

QUERY_PREFIX = "Represent the query for retrieving evidence documents: "
PASSAGE_PREFIX = "Represent the document for retrieval: "

QUERY_WORDS = [
    "query",
    "search_query",
    "RETRIEVAL_QUERY",
    "retrieval.query",
    "QUESTION_ANSWERING",
    "FACT_VERIFICATION",
    "CODE_RETRIEVAL_QUERY",
    "search",
]
DOCUMENT_WORDS = [
    "document",
    "passage",
    "search_document",
    "RETRIEVAL_DOCUMENT",
    "retrieval.passage",
    "retrieval.document",
    "retrieval_passage",
    "ingest",
    "doc",
]
TASK_WORDS = {
    "text-matching": [
        "text-matching",
        "text_matching",
        "SEMANTIC_SIMILARITY",
        "semantic-similarity",
        "sts",
        "similarity",
    ],
    "classification": ["classification", "CLASSIFICATION"],
}


def chosen(table: TaskTable, **words: str | None) -> tuple[str | None, str]:
    """The task and the prefix that a request's words lead to, for a text without a prefix of its own."""
    given_words = {"task": None, "role": None, **words}
    found = task_of_text(table, choose_task(table, **given_words), "apples", own_prefixes=OwnPrefixes.ROLE)
    return (found.task.name if found.task else None, found.prefix)


@pytest.mark.parametrize("field", ["task", "role"])
@pytest.mark.parametrize("word", QUERY_WORDS)
def test_every_word_for_a_query_is_one(field: str, word: str) -> None:
    assert chosen(V3, **{field: word}) == ("retrieval.query", QUERY_PREFIX)
    assert chosen(V5, **{field: word}) == ("retrieval.query", "Query: ")


@pytest.mark.parametrize("field", ["task", "role"])
@pytest.mark.parametrize("word", DOCUMENT_WORDS)
def test_every_word_for_a_document_is_one(field: str, word: str) -> None:
    assert chosen(V3, **{field: word}) == ("retrieval.passage", PASSAGE_PREFIX)
    assert chosen(V5, **{field: word}) == ("retrieval.passage", "Document: ")


@pytest.mark.parametrize("field", ["task", "role"])
@pytest.mark.parametrize(("task", "word"), [(task, word) for task, words in TASK_WORDS.items() for word in words])
def test_every_word_for_a_task_is_the_models_own(field: str, task: str, word: str) -> None:
    assert chosen(V3, **{field: word}) == (task, "")
    assert chosen(V5, **{field: word}) == (task, "Document: ")


@pytest.mark.parametrize("word", ["clustering", "separation", "CLUSTERING", " Separation "])
def test_clustering_and_separation_are_one_task_both_ways(word: str) -> None:
    assert chosen(V3, task=word) == ("separation", "")
    assert chosen(V5, task=word) == ("clustering", "Document: ")


@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_without_a_word_the_default_counts(nothing: str | None) -> None:
    assert chosen(V3, task=nothing, role=nothing) == ("retrieval.query", QUERY_PREFIX)
    assert chosen(V5, task=nothing, role=nothing) == ("text-matching", "Document: ")
    assert chosen(PROMPTS_ONLY, task=nothing) == (None, "")


def test_the_names_own_default_goes_before_the_models() -> None:
    assert chosen(V5, default="retrieval.passage") == ("retrieval.passage", "Document: ")
    assert chosen(V5, default="retrieval.passage", task="clustering") == ("clustering", "Document: ")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("side", ["query", "document"])
def test_a_side_alone_means_retrieval_and_not_the_default(table: TaskTable, side: str) -> None:
    task, _ = chosen(table, role=side)
    assert task == {"query": "retrieval.query", "document": "retrieval.passage"}[side]


def test_a_side_stays_with_the_task_that_the_name_stands_for() -> None:
    assert chosen(V5, role="query", default="clustering") == ("clustering", "Query: ")
    assert chosen(V5, role="query", default="retrieval.passage") == ("retrieval.query", "Query: ")


def test_a_task_takes_the_prefix_of_the_side_it_is_given() -> None:
    assert chosen(V5, task="clustering", role="query") == ("clustering", "Query: ")
    assert chosen(V5, task="query", role="clustering") == ("clustering", "Query: ")
    assert chosen(V3, task="separation", role="query") == ("separation", "")


def test_a_task_that_says_its_side_outranks_a_word_for_the_side() -> None:
    assert chosen(V3, task="retrieval.query", role="document") == ("retrieval.query", QUERY_PREFIX)
    assert chosen(V5, task="retrieval.passage", role="search_query") == ("retrieval.passage", "Document: ")
    assert chosen(V5, task="retrieval.document", role="clustering") == ("retrieval.passage", "Document: ")


@pytest.mark.parametrize("words", [{"task": "retrieval", "role": "query"}, {"task": "query", "role": "retrieval"}])
def test_retrieval_alone_takes_the_side_it_is_given(words: dict[str, str]) -> None:
    assert chosen(V5, **words) == ("retrieval.query", "Query: ")


def test_of_two_sides_the_tasks_own_field_counts() -> None:
    assert chosen(V5, task="query", role="document") == ("retrieval.query", "Query: ")
    assert chosen(V5, task="document", role="query") == ("retrieval.passage", "Document: ")


def test_retrieval_alone_is_no_task_of_v3() -> None:
    with pytest.raises(UnknownTask):
        choose_task(V3, task="retrieval", role=None)
    assert choose_task(V5, task="retrieval", role=None) == TaskChoice(
        next(task for task in V5.tasks if task.name == "retrieval.passage"), role=Role.DOCUMENT, is_open=True
    )


def test_prompts_by_name_are_tasks_too() -> None:
    for word in QUERY_WORDS:
        assert chosen(PROMPTS_ONLY, role=word) == ("query", "query: ")
    for word in DOCUMENT_WORDS:
        assert chosen(PROMPTS_ONLY, role=word) == ("passage", "passage: ")
    assert chosen(PROMPTS_ONLY, task="passage") == ("passage", "passage: ")
    assert chosen(PROMPTS_ONLY, task="search_document") == ("passage", "passage: ")


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize(("field", "param"), [("task", "task"), ("role", "input_type")])
@pytest.mark.parametrize(
    "word",
    ["summarisation", "classification.query", "retrieval.", ".query", "nl2code.query", "0", "-1", "retrieval.queries"],
)
def test_an_unknown_word_is_refused_with_the_tasks_there_are(
    table: TaskTable, field: str, param: str, word: str
) -> None:
    with pytest.raises(UnknownTask) as caught:
        choose_task(table, **{"task": None, "role": None, field: word})
    assert caught.value.param == param
    assert caught.value.code == "unknown_task"
    assert all(f"'{task.name}'" in caught.value.message for task in table.tasks)
    assert word not in caught.value.message.replace("retrieval.query", "").replace("retrieval.passage", "")


def test_an_unknown_word_is_refused_beside_a_known_one() -> None:
    with pytest.raises(UnknownTask):
        choose_task(V3, task="retrieval.query", role="picture")
    with pytest.raises(UnknownTask):
        choose_task(V3, task="everything", role="query")


@given(st.text(), st.text(), st.text())
def test_a_model_without_tasks_ignores_every_word(task: str, role: str, text: str) -> None:
    table = TaskTable()
    choice = choose_task(table, task=task, role=role, default=None)
    assert choice == TaskChoice(None)
    for mode in OwnPrefixes:
        assert task_of_text(table, choice, text, own_prefixes=mode) == TextTask(None, "")


ANY_WORD = st.sampled_from([None, *QUERY_WORDS, *DOCUMENT_WORDS, "text-matching", "separation", "classification"])


@given(st.sampled_from([*TABLES]), ANY_WORD | st.text(), ANY_WORD | st.text())
def test_any_words_lead_to_a_task_of_the_model_or_are_refused(name: str, task: str | None, role: str | None) -> None:
    table = TABLES[name]
    words = [word for word in (task, role) if word and word.strip()]
    if all(is_task_word(table, word) for word in words):
        assert choose_task(table, task=task, role=role).task in table.tasks
    else:
        with pytest.raises(UnknownTask):
            choose_task(table, task=task, role=role)


@given(st.sampled_from([*TABLES]), ANY_WORD, ANY_WORD, st.text(max_size=20))
def test_a_choice_never_leaves_the_model(name: str, task: str | None, role: str | None, text: str) -> None:
    table = TABLES[name]
    choice = choose_task(table, task=task, role=role)
    found = task_of_text(table, choice, text, own_prefixes=OwnPrefixes.IGNORE)
    assert found.task in table.tasks
    assert found.prefix in {*table.prompts.values(), *(one.prompt for one in table.tasks if one.prompt is not None)}
    assert found.prefix == prompt_of(table, choice.task, choice.role)


@given(st.sampled_from([*TABLES]), st.sampled_from(["task", "role"]), ANY_WORD.filter(bool), st.randoms())
def test_neither_case_nor_blanks_nor_dashes_matter(name: str, field: str, word: str, random: object) -> None:
    table = TABLES[name]
    changed = "".join(letter.upper() if random.random() < 0.5 else letter.lower() for letter in word)  # type: ignore[attr-defined]
    changed = f" {changed.replace('-', '_') if random.random() < 0.5 else changed} "  # type: ignore[attr-defined]
    assert chosen(table, **{field: changed}) == chosen(table, **{field: word})


# What a text with one of the model's own prefixes is embedded for: by the words given, the text and the setting.
OWN = {"v3": {"query": QUERY_PREFIX, "passage": PASSAGE_PREFIX}, "v5": {"query": "Query: ", "passage": "Document: "}}


@pytest.mark.parametrize("side", ["query", "passage"])
@pytest.mark.parametrize("model", TABLES)
def test_a_prefix_of_the_models_own_chooses_the_side_where_no_task_is_named(model: str, side: str) -> None:
    table, text = TABLES[model], f"{OWN[model][side]}apples"
    default = None if model == "v3" else "retrieval.passage"
    choice = choose_task(table, task=None, role=None, default=default)
    found = task_of_text(table, choice, text, own_prefixes=OwnPrefixes.ROLE)
    assert (found.task and found.task.name, found.prefix) == (f"retrieval.{side}", "")


@pytest.mark.parametrize("word", ["retrieval", "Retrieval"])
@pytest.mark.parametrize("side", ["query", "passage"])
def test_a_prefix_chooses_the_side_of_retrieval_alone(word: str, side: str) -> None:
    choice = choose_task(V5, task=word, role=None)
    found = task_of_text(V5, choice, f"{OWN['v5'][side]}apples", own_prefixes=OwnPrefixes.ROLE)
    assert (found.task and found.task.name, found.prefix) == (f"retrieval.{side}", "")


def test_a_prefix_does_not_leave_a_task_without_sides() -> None:
    choice = choose_task(V5, task=None, role=None)
    found = task_of_text(V5, choice, "Query: apples", own_prefixes=OwnPrefixes.ROLE)
    assert (found.task and found.task.name, found.prefix) == ("text-matching", "")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("v3", {"task": "retrieval.passage"}),
        ("v3", {"role": "document"}),
        ("v5", {"task": "retrieval.passage"}),
        ("v5", {"task": "retrieval", "role": "document"}),
    ],
)
def test_a_named_task_outranks_the_prefix_but_does_not_double_it(model: str, words: dict[str, str]) -> None:
    choice = choose_task(TABLES[model], **{"task": None, "role": None, **words})
    found = task_of_text(TABLES[model], choice, OWN[model]["query"], own_prefixes=OwnPrefixes.ROLE)
    assert (found.task and found.task.name, found.prefix) == ("retrieval.passage", "")


@pytest.mark.parametrize("model", TABLES)
def test_kept_prefixes_choose_nothing(model: str) -> None:
    table = TABLES[model]
    choice = choose_task(table, task=None, role=None, default="retrieval.query")
    found = task_of_text(table, choice, OWN[model]["passage"], own_prefixes=OwnPrefixes.KEEP)
    assert (found.task and found.task.name, found.prefix) == ("retrieval.query", "")


@pytest.mark.parametrize("model", TABLES)
@pytest.mark.parametrize("side", ["query", "passage"])
def test_ignored_prefixes_are_text_like_any_other(model: str, side: str) -> None:
    table = TABLES[model]
    choice = choose_task(table, task=None, role=None, default="retrieval.query")
    found = task_of_text(table, choice, OWN[model][side], own_prefixes=OwnPrefixes.IGNORE)
    assert (found.task and found.task.name, found.prefix) == ("retrieval.query", OWN[model]["query"])


@pytest.mark.parametrize("text", ["query: apples", "Query:apples", "QUERY: apples", " Query: apples", "Query", ""])
def test_only_the_prefix_itself_counts_as_one(text: str) -> None:
    choice = choose_task(V5, task=None, role=None, default="retrieval.passage")
    for mode in OwnPrefixes:
        found = task_of_text(V5, choice, text, own_prefixes=mode)
        assert (found.task and found.task.name, found.prefix) == ("retrieval.passage", "Document: ")


def test_an_empty_prompt_is_no_prefix_of_every_text() -> None:
    choice = choose_task(V3, task=None, role=None)
    assert task_of_text(V3, choice, "apples", own_prefixes=OwnPrefixes.ROLE).prefix == QUERY_PREFIX


@given(st.sampled_from([*TABLES]), ANY_WORD, ANY_WORD, st.sampled_from([OwnPrefixes.ROLE, OwnPrefixes.KEEP]))
def test_a_prefix_is_never_doubled(name: str, task: str | None, role: str | None, mode: OwnPrefixes) -> None:
    table = TABLES[name]
    choice = choose_task(table, task=task, role=role)
    for prefix in OWN[name].values():
        assert task_of_text(table, choice, f"{prefix}apples", own_prefixes=mode).prefix == ""


def test_a_word_is_a_task_word_where_the_model_has_tasks() -> None:
    for word in ("query", "SEARCH_DOCUMENT", "clustering", "retrieval.query"):
        assert is_task_word(V3, word)
        assert not is_task_word(TaskTable(), word)
    assert is_task_word(V5, "retrieval")
    assert not is_task_word(V3, "retrieval")
    assert not is_task_word(V3, "")


def test_a_task_without_prompt_or_side_has_no_prefix() -> None:
    table = replace(PROMPTS_ONLY, prompts={Role.QUERY: "Q: "})
    assert prompt_of(table, TaskSpec("other"), None) == ""
    assert prompt_of(table, TaskSpec("other"), Role.QUERY) == "Q: "
    assert prompt_of(table, TaskSpec("other"), Role.DOCUMENT) == ""
    assert prompt_of(table, None, None) == ""


def test_an_empty_prompt_of_a_task_outranks_the_sides_prefix() -> None:
    table = replace(V5, tasks=(TaskSpec("bare", prompt="", role=Role.QUERY),), default="bare")
    assert chosen(table, task="bare", role="query") == ("bare", "")


def test_a_side_without_a_prefix_is_not_on_every_text() -> None:
    table = replace(V5, prompts={Role.QUERY: "", Role.DOCUMENT: "Document: "})
    choice = choose_task(table, task=None, role=None, default="retrieval.passage")
    found = task_of_text(table, choice, "apples", own_prefixes=OwnPrefixes.ROLE)
    assert (found.task and found.task.name, found.prefix) == ("retrieval.passage", "Document: ")


V4 = SHIPPED.find("jina-embeddings-v4").models[0].card.tasks

# Cohere's `input_type`, Gemini's task types and Voyage's, on models that have the task and on one that lacks it.
FOREIGN = [
    ("classification", "classification", "text-matching"),
    ("CLASSIFICATION", "classification", "text-matching"),
    ("clustering", "separation", "text-matching"),
    ("CLUSTERING", "separation", "text-matching"),
    ("SEMANTIC_SIMILARITY", "text-matching", "text-matching"),
    ("CODE_RETRIEVAL_QUERY", "retrieval.query", "code.query"),
    ("QUESTION_ANSWERING", "retrieval.query", "retrieval.query"),
    ("FACT_VERIFICATION", "retrieval.query", "retrieval.query"),
    ("search_document", "retrieval.passage", "retrieval.passage"),
    ("image", "retrieval.query", "retrieval.passage"),
    ("TASK_TYPE_UNSPECIFIED", "retrieval.query", "retrieval.passage"),
]


@pytest.mark.parametrize(("word", "v3", "v4"), FOREIGN)
def test_a_word_that_clients_of_other_apis_have_to_send_fits_every_model(word: str, v3: str, v4: str) -> None:
    assert chosen(V3, role=word)[0] == v3
    assert chosen(V4, role=word)[0] == v4
    assert chosen(PROMPTS_ONLY, role=word)[0] in (None, "query", "passage")


@pytest.mark.parametrize("word", ["classification", "clustering", "image"])
def test_jinas_own_field_takes_no_next_best(word: str) -> None:
    with pytest.raises(UnknownTask):
        choose_task(V4, task=word, role=None)
