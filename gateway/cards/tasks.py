"""Which task a request means, and what is put before its texts: every API's words onto the model's own tasks.

A request may name a task (`retrieval.query`, `separation`, `RETRIEVAL_DOCUMENT`), a side of a search (`query`,
`search_document`), both or neither. The card says which tasks a model has; only the words are known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.cards.schema import Role, TaskSpec, TaskTable
from gateway.errors import InvalidField
from gateway.types import OwnPrefixes

RETRIEVAL = "retrieval"

# What other APIs and older models call a side of a search.
_ROLE_WORDS: Mapping[str, Role] = {
    "query": Role.QUERY,
    "search_query": Role.QUERY,
    "retrieval_query": Role.QUERY,
    "question_answering": Role.QUERY,
    "search": Role.QUERY,
    "document": Role.DOCUMENT,
    "passage": Role.DOCUMENT,
    "search_document": Role.DOCUMENT,
    "retrieval_document": Role.DOCUMENT,
    "retrieval_passage": Role.DOCUMENT,
    "ingest": Role.DOCUMENT,
    "doc": Role.DOCUMENT,
}

# What they call a task. A model has one of the names on a line, and answers to all of them.
_SYNONYMS: tuple[frozenset[str], ...] = (
    frozenset({"clustering", "separation"}),
    frozenset({"text-matching", "semantic_similarity", "text_matching", "similarity", "sts"}),
    frozenset({"classification"}),
    frozenset({"retrieval.passage", "retrieval.document"}),
)


class UnknownTask(InvalidField):
    code = "unknown_task"


@dataclass(frozen=True, slots=True)
class TaskChoice:
    """What a request asked for. `is_open` leaves the side of the search to the text's own prefix."""

    task: TaskSpec | None
    role: Role | None = None
    is_open: bool = True


@dataclass(frozen=True, slots=True)
class TextTask:
    """What one text is embedded for, and the prefix that goes before it (empty where it has one already)."""

    task: TaskSpec | None
    prefix: str


def choose_task(table: TaskTable, *, task: str | None, role: str | None, default: str | None = None) -> TaskChoice:
    """The choice that a request's words stand for.

    `task` is what the request calls its task, `role` what it calls the side of the search (`input_type`,
    `prompt_name`), either of which may hold a word of the other kind; `default` is the task that the model's name
    stood for. A model without tasks ignores all three. Raises `UnknownTask` listing the model's tasks.
    """
    if not table.tasks:
        return TaskChoice(None)
    named, side = _words(table, task, role)
    if named is None and side is not None:
        return TaskChoice(_task_for_side(table, side, default=default), role=side, is_open=False)
    if named is None:
        named = _find_task(table, default or table.default or "")
        return TaskChoice(named, role=named.role if named else None)
    if _is_bare_family(table, task or role or ""):
        return _on_side(table, named, side) if side else TaskChoice(named, role=named.role)
    # A task that says its side itself, `retrieval.query`, outranks a word for the side alone.
    return TaskChoice(named, role=named.role if side is None or "." in named.name else side, is_open=False)


def task_of_text(table: TaskTable, choice: TaskChoice, text: str, *, own_prefixes: OwnPrefixes) -> TextTask:
    """What `text` is embedded for under a request's choice."""
    has_prefix, side = _own_prefix(table, text)
    if own_prefixes is OwnPrefixes.IGNORE or not has_prefix:
        return TextTask(choice.task, prompt_of(table, choice.task, choice.role))
    if choice.is_open and side is not None and own_prefixes is OwnPrefixes.ROLE:
        return TextTask(_on_side(table, choice.task, side).task, "")
    return TextTask(choice.task, "")


def prompt_of(table: TaskTable, task: TaskSpec | None, role: Role | None) -> str:
    """The prefix of a task for one side of a search."""
    if task is not None and task.prompt is not None:
        return task.prompt
    side = role or (task.role if task is not None else None)
    return table.prompts.get(side, "") if side is not None else ""


def is_task_word(table: TaskTable, word: str) -> bool:
    """Whether a model with these tasks understands `word` as a task or a side of a search."""
    return bool(table.tasks) and (_find_task(table, word) is not None or word.lower() in _ROLE_WORDS)


def _words(table: TaskTable, task: str | None, role: str | None) -> tuple[TaskSpec | None, Role | None]:
    """The task and the side of a search that the two words stand for, whichever of them each is."""
    named: TaskSpec | None = None
    side: Role | None = None
    for param, word in (("task", task), ("input_type", role)):
        if not word or not word.strip():
            continue
        found, found_side = _find_task(table, word), _ROLE_WORDS.get(word.strip().lower())
        if found is None and found_side is None:
            raise _unknown(table, param=param)
        named = named or found
        side = side or (found_side if found is None else None)
    return named, side


def _find_task(table: TaskTable, word: str) -> TaskSpec | None:
    word = word.strip().lower()
    wanted = {word, table.aliases.get(word, word)}
    wanted.update(*(line for line in _SYNONYMS if word in line))
    return next((task for task in table.tasks if task.name.lower() in wanted), None)


def _unknown(table: TaskTable, *, param: str) -> UnknownTask:
    names = ", ".join(f"'{task.name}'" for task in table.tasks)
    return UnknownTask(f"'{param}' is not a task of this model. Its tasks: {names}.", param=param)


def _is_bare_family(table: TaskTable, word: str) -> bool:
    """Whether `word` names a family of tasks ("retrieval") and so leaves the side of the search open."""
    return word.strip().lower() in table.aliases


def _task_for_side(table: TaskTable, side: Role, *, default: str | None) -> TaskSpec | None:
    """The task for a side of a search where no task was named: the one of retrieval, where the model has it."""
    own = [task for task in table.tasks if task.role is side]
    retrieval = next((task for task in own if task.name.startswith(f"{RETRIEVAL}.")), None)
    with_prompt = next((task for task in own if task.prompt is not None), None)
    return retrieval or with_prompt or _find_task(table, default or table.default or "")


def _on_side(table: TaskTable, task: TaskSpec | None, side: Role) -> TaskChoice:
    """The task's sibling for that side, where it has one; else the task itself, on that side."""
    if task is None:
        return TaskChoice(_task_for_side(table, side, default=None), role=side, is_open=False)
    family = task.name.partition(".")[0] + "."
    sibling = next((one for one in table.tasks if one.role is side and one.name.startswith(family)), None)
    return TaskChoice(sibling or task, role=side, is_open=False)


def _own_prefix(table: TaskTable, text: str) -> tuple[bool, Role | None]:
    """Whether `text` begins with one of the model's own prefixes, and the side of a search that it stands for."""
    for role, prefix in table.prompts.items():
        if prefix and text.startswith(prefix):
            return True, role
    for task in table.tasks:
        if task.prompt and text.startswith(task.prompt):
            return True, task.role
    return False, None
