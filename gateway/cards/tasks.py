"""Which task a request means, and what is put before its texts: every API's words onto the model's own tasks.

A request may name a task (`retrieval.query`, `separation`, `RETRIEVAL_DOCUMENT`), a side of a search (`query`,
`search_document`), both or neither. The card says which tasks a model has; only the words are known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.cards.schema import Role, TaskSpec, TaskTable
from gateway.errors import InvalidField
from gateway.types import OwnPrefixes

RETRIEVAL = "retrieval"

_SIDE_FIELD = "input_type"

# What other APIs and older models call a side of a search, as `plain_word` writes it: Jina's and OpenAI's `query` and
# `passage`, Cohere's `search_query`, Voyage's `document`, Gemini's `RETRIEVAL_QUERY`, Elasticsearch's `ingest`.
_ROLE_WORDS: Mapping[str, Role] = {
    "query": Role.QUERY,
    "search-query": Role.QUERY,
    "retrieval-query": Role.QUERY,
    "retrieval.query": Role.QUERY,
    "question-answering": Role.QUERY,
    "fact-verification": Role.QUERY,
    "code-retrieval-query": Role.QUERY,
    "search": Role.QUERY,
    "document": Role.DOCUMENT,
    "passage": Role.DOCUMENT,
    "search-document": Role.DOCUMENT,
    "retrieval-document": Role.DOCUMENT,
    "retrieval-passage": Role.DOCUMENT,
    "retrieval.passage": Role.DOCUMENT,
    "retrieval.document": Role.DOCUMENT,
    "ingest": Role.DOCUMENT,
    "doc": Role.DOCUMENT,
}

# What they call a task. A model has one of the names on a line, and answers to all of them.
_SYNONYMS: tuple[frozenset[str], ...] = (
    frozenset({"clustering", "separation"}),
    frozenset({"text-matching", "semantic-similarity", "similarity", "sts"}),
    frozenset({"retrieval.passage", "retrieval.document"}),
    frozenset({"code.query", "nl2code.query", "code-retrieval-query"}),
    frozenset({"code.passage", "nl2code.passage"}),
)

# Words in `input_type` and its like that ask for nothing: Cohere's word for images, Gemini's for no task at all.
_EMPTY_WORDS = frozenset({"image", "task-type-unspecified"})

# Cohere's and Gemini's words that every model of theirs knows. Their clients have to send one of them, so a model that
# lacks the task takes the next of the line, in the end its default. Jina's `task` is refused instead.
_NEXT_BEST: Mapping[str, tuple[str, ...]] = {
    "classification": ("text-matching",),
    "clustering": ("text-matching",),
    "semantic-similarity": (),
}


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


def choose_task(
    table: TaskTable,
    *,
    task: str | None,
    role: str | None,
    default: str | None = None,
    fallback: str | None = None,
) -> TaskChoice:
    """The choice that a request's words stand for.

    `task` is what the request calls its task, `role` what it calls the side of the search (`input_type`,
    `prompt_name`), either of which may hold a word of the other kind; `default` is the task that the model's name
    stood for. `fallback` stands in for the card's own default, for requests that say nothing at all. A model without
    tasks ignores all of them. Raises `UnknownTask` listing the model's tasks.
    """
    if not table.tasks:
        return TaskChoice(None)
    words = _words(table, task, role)
    if words.task is None and words.side is not None:
        # A name that stands for a task keeps it; else a side is one of a search.
        return _on_side(table, find_task(table, default or ""), words.side)
    if words.task is None:
        found = find_task(table, default or fallback or table.default or "")
        return TaskChoice(found, role=found.role if found else None)
    if words.is_family:
        return _on_side(table, words.task, words.side) if words.side else TaskChoice(words.task, role=words.task.role)
    # A task that says its side itself, `retrieval.query`, outranks a word for the side alone.
    side = words.task.role if words.side is None or "." in words.task.name else words.side
    return TaskChoice(words.task, role=side, is_open=False)


def leaves_open(table: TaskTable, *, task: str | None, role: str | None) -> bool:
    """Whether a request's words, of which there may be none, say nothing to a model with these tasks: Cohere's `image`
    does not, nor a word for a task that Cohere's clients have to send. Raises `UnknownTask`."""
    if not table.tasks or not (task or role):
        return True
    words = _words(table, task, role)
    return words.task is None and words.side is None


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


def is_side_word(word: str) -> bool:
    """Whether `word` is some API's word for a side of a search."""
    return plain_word(word) in _ROLE_WORDS


def is_task_word(table: TaskTable, word: str) -> bool:
    """Whether a model with these tasks understands `word` as a task or a side of a search."""
    return bool(table.tasks) and (find_task(table, word) is not None or is_side_word(word))


@dataclass(frozen=True, slots=True)
class _Words:
    """What a request's words stand for, whichever of its fields they stood in. `is_family`: the task was named by a
    word, "retrieval", that leaves its side open."""

    task: TaskSpec | None
    side: Role | None
    is_family: bool


def _words(table: TaskTable, task: str | None, role: str | None) -> _Words:
    found = _Words(None, None, is_family=False)
    for param, word in (("task", task), (_SIDE_FIELD, role)):
        plain = plain_word(word or "")
        if not word or not plain or (param == _SIDE_FIELD and plain in _EMPTY_WORDS):
            continue
        named, side = find_task(table, word), _ROLE_WORDS.get(plain)
        if named is None and side is None and param == _SIDE_FIELD and plain in _NEXT_BEST:
            named = next(filter(None, (find_task(table, other) for other in _NEXT_BEST[plain])), None)
            if named is None:
                continue
        if named is None and side is None:
            raise _unknown(table, param=param)
        if named is None:
            found = replace(found, side=found.side or side)
        elif found.task is None:
            found = replace(found, task=named, is_family=plain_word(word) in _plain_aliases(table))
    return found


def plain_word(word: str) -> str:
    """A word as all spellings of it are compared: RETRIEVAL_QUERY is retrieval-query."""
    return word.strip().lower().replace("_", "-")


def _plain_aliases(table: TaskTable) -> dict[str, str]:
    return {plain_word(word): name for word, name in table.aliases.items()}


def find_task(table: TaskTable, word: str) -> TaskSpec | None:
    """The task that goes by `word`, or None; a word for a side of a search is none."""
    word = plain_word(word)
    wanted = {word, plain_word(_plain_aliases(table).get(word, word))}
    wanted.update(*(line for line in _SYNONYMS if word in line))
    return next((task for task in table.tasks if plain_word(task.name) in wanted), None)


def _unknown(table: TaskTable, *, param: str) -> UnknownTask:
    names = ", ".join(f"'{task.name}'" for task in table.tasks)
    return UnknownTask(f"'{param}' names no task of this model. Its tasks are {names}.", param=param)


def _on_side(table: TaskTable, task: TaskSpec | None, side: Role) -> TaskChoice:
    """The task's sibling for that side, where it has one; else the task itself, on that side. No task at all means the
    one of retrieval, where the model has it."""
    if task is None:
        return TaskChoice(_task_for_side(table, side), role=side, is_open=False)
    family = task.name.partition(".")[0] + "."
    sibling = next((one for one in table.tasks if one.role is side and one.name.startswith(family)), None)
    return TaskChoice(sibling or task, role=side, is_open=False)


def _task_for_side(table: TaskTable, side: Role) -> TaskSpec | None:
    own = [task for task in table.tasks if task.role is side]
    retrieval = next((task for task in own if task.name.startswith(f"{RETRIEVAL}.")), None)
    with_prompt = next((task for task in own if task.prompt is not None), None)
    return retrieval or with_prompt or find_task(table, table.default or "")


def _own_prefix(table: TaskTable, text: str) -> tuple[bool, Role | None]:
    """Whether `text` begins with one of the model's own prefixes, and the side of a search that it stands for."""
    for role, prefix in table.prompts.items():
        if prefix and text.startswith(prefix):
            return True, role
    for task in table.tasks:
        if task.prompt and text.startswith(task.prompt):
            return True, task.role
    return False, None
