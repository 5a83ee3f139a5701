"""The operator's own default tasks, as `MODEL=TASK`: which model and which of its tasks each line means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.cards.registry import Registry
from gateway.cards.tasks import find_task
from gateway.errors import ConfigurationError, UnknownModel

_SETTING = "GATEWAY_DEFAULT_TASKS"


def default_tasks(registry: Registry, entries: Sequence[str]) -> Mapping[str, str]:
    """The names of tasks by the public names of models.

    A name that several models share is taken for those of them that have the task. Raises `ConfigurationError` for an
    entry that is no `MODEL=TASK`, a model that nobody knows, or a task that it does not have.
    """
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, word = (part.strip() for part in entry.partition("="))
        if not (name and equals and word):
            raise _wrong(f"{entry!r} is not of the form MODEL=TASK.")
        try:
            models = registry.find(name).models
        except UnknownModel as error:
            raise _wrong(error.message) from None
        tasks = {model.name: find_task(model.card.tasks, word) for model in models}
        known = {model: task.name for model, task in tasks.items() if task is not None}
        if not known:
            names = ", ".join(task.name for task in models[0].card.tasks.tasks) or "none"
            raise _wrong(f"The model {models[0].name} has no task {word!r}. Its tasks: {names}.")
        found.update(known)
    return found


def _wrong(fault: str) -> ConfigurationError:
    return ConfigurationError(
        f"{_SETTING} is not valid: {fault}",
        remedy=f"Write it as {_SETTING}=MODEL=TASK, several separated by commas, then start again.",
    )
