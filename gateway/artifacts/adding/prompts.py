"""Prompts of a sentence-transformers repository as tasks: the prompt's name is the task's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.artifacts.adding.published import Document
from gateway.artifacts.adding.refusal import TELL_AUTHORS, CannotServe
from gateway.cards.schema import Role, TaskSpec, TaskTable
from gateway.cards.tasks import plain_word

PROMPTS_FILE = "config_sentence_transformers.json"

# Names of prompts that are for a side of a search. Of several the first one here stands for the side.
_SIDES: Mapping[Role, tuple[str, ...]] = {
    Role.QUERY: ("query", "search-query", "retrieval-query", "retrieval.query"),
    Role.DOCUMENT: (
        "document",
        "passage",
        "search-document",
        "retrieval-document",
        "retrieval-passage",
        "retrieval.document",
        "retrieval.passage",
        "doc",
    ),
}


def read_tasks(config: Document) -> TaskTable:
    """The tasks of a `config_sentence_transformers.json`; none where no prompt holds a word.

    Raises `CannotServe` for prompts that cannot be told apart or are no texts.
    """
    prompts = _prompts(config)
    default = config.get("default_prompt_name")
    if default is not None and not (isinstance(default, str) and default in prompts):
        raise _unclear(f"default_prompt_name is {default!r}, which is none of its prompts")
    if not any(prompts.values()):
        return TaskTable()
    roles = _roles(prompts)
    tasks = tuple(TaskSpec(name=name, prompt=prompt, role=roles.get(name)) for name, prompt in prompts.items())
    return TaskTable(tasks=tasks, default=str(default) if default is not None else None)


def _prompts(config: Document) -> Mapping[str, str]:
    stated = config.get("prompts") or {}
    if not isinstance(stated, dict):
        raise _unclear("prompts is no table of names and texts")
    prompts: dict[str, str] = {}
    for name, prompt in stated.items():
        if not name.strip() or not isinstance(prompt, str | None):
            raise _unclear(f"the prompt {name!r} is no named text")
        if not _is_unicode(name + (prompt or "")):
            raise _unclear(f"the prompt {name!r} is not valid Unicode")
        prompts[name] = prompt or ""
    if len({plain_word(name) for name in prompts}) < len(prompts):
        raise _unclear("two prompts have the same name but for its spelling")
    return prompts


def _roles(names: Iterable[str]) -> dict[str, Role]:
    by_word = {plain_word(name): name for name in names}
    first = {role: next((by_word[word] for word in words if word in by_word), None) for role, words in _SIDES.items()}
    return {name: role for role, name in first.items() if name is not None}


def _is_unicode(text: str) -> bool:
    """JSON can spell half a surrogate pair, which is no character and cannot be written down."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _unclear(what: str) -> CannotServe:
    return CannotServe(f"{PROMPTS_FILE} cannot be followed: {what}.", remedy=TELL_AUTHORS)
