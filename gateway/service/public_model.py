"""What a caller's name stands for while it is served: a model, those of its Triton models that are loaded, and the task
that the name brought along."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from gateway.batching.scheduler import Scheduler
from gateway.caching.shared_rows import SharedRows
from gateway.cards.installation import Installation
from gateway.cards.schema import Card, Model, TaskSpec
from gateway.cards.tasks import TaskChoice, choose_task, is_task_word, leaves_open
from gateway.errors import EngineUnavailable, InvalidField
from gateway.service.precision import ServingPrecision
from gateway.service.proof import Proof
from gateway.text.reading import InputReader
from gateway.types import Precision

OnMissing = Callable[[Card], EngineUnavailable | None]
"""Told of a card that a request needs and Triton has not loaded; gives the error to answer with if it is on its way."""


class TaskNotLoaded(InvalidField):
    """The model has this task, but the part of it that computes the task is not there."""

    code = "task_not_loaded"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One Triton model, and everything it needs to answer. Rows go to `shared`, and from there to `scheduler`."""

    card: Card
    reader: InputReader
    scheduler: Scheduler
    shared: SharedRows
    installation: Installation
    serving: ServingPrecision | None = None
    proof: Proof = field(default_factory=Proof)

    @property
    def precision(self) -> Precision:
        """What it really computes in, as far as its canary has shown."""
        return self.serving.value if self.serving is not None else Precision.EXACT


@dataclass(frozen=True)  # without slots: what every request asks for is found once
class PublicModel:
    """What a caller's name stands for now: a model, those of its Triton models that are served, at least one, and the
    task that the name brought along. `configured_task` is the operator's word on what stands in for the card's default.
    """

    model: Model
    members: Mapping[str, ServedModel]
    task: str | None = None
    default_task: str | None = None
    on_missing: OnMissing = lambda _: None
    configured_task: str | None = None

    @cached_property
    def name(self) -> str:
        return self.model.name

    @cached_property
    def card(self) -> Card:
        """A card to read what all members share from: tokenizer, vectors, tasks."""
        return self.model.card

    @cached_property
    def reader(self) -> InputReader:
        """The reader that all members share."""
        return self._first_member.reader

    @cached_property
    def _first_member(self) -> ServedModel:
        return next(iter(self.members.values()))

    def preferred_task(self, word: str) -> str | None:
        """The task that the name brought along, else `word` where the model knows it."""
        return self.task or (word if is_task_word(self.card.tasks, word) else None)

    def task_by_default(self, word: str | None) -> str | None:
        """`word` where it may stand in for a request's task: the model knows it, and was not named by a task."""
        if word is None or self.task is not None or self.default_task is not None:
            return None
        return word if is_task_word(self.card.tasks, word) else None

    def choose_task(self, *, task: str | None, side: str | None, preferred: str | None = None) -> TaskChoice:
        """What a request's words stand for. A task that rode on the model's name stands in where the request says
        nothing, and takes its side of a search from the request where that says no more. `preferred` stands in where
        neither says anything.

        Raises `gateway.cards.tasks.UnknownTask`.
        """
        if task is None and side is None and preferred is None:
            return self._choice_without_words
        table = self.card.tasks
        if not leaves_open(table, task=task, role=side):
            return choose_task(table, task=task, role=side, default=self.task or self.default_task)
        return self._choice_by_default(preferred)

    @cached_property
    def _choice_without_words(self) -> TaskChoice:
        return self._choice_by_default(None)

    def _choice_by_default(self, preferred: str | None) -> TaskChoice:
        return choose_task(
            self.card.tasks,
            task=self.task or self.task_by_default(preferred),
            role=None,
            default=self.default_task,
            fallback=self.configured_task,
        )

    def member_for(self, task: TaskSpec | None) -> ServedModel:
        """The Triton model that computes a task. Raises `TaskNotLoaded` where it is not there, `EngineUnavailable`
        where it is on its way."""
        if task is None or task.member is None:
            return self._first_member
        card = self.model.card_for(task)
        if card.name in self.members:
            return self.members[card.name]
        coming = self.on_missing(card)
        if coming is not None:
            raise coming
        loaded = ", ".join(f"'{name}'" for name in self.loaded_tasks())
        raise TaskNotLoaded(
            f"The task '{task.name}' of {self.name} is not loaded here. Loaded: {loaded}. Install it with "
            f"`gateway models pull {card.name}` and start again.",
            param="task",
        )

    def loaded_tasks(self) -> tuple[str, ...]:
        return loaded_tasks(self.model, self.members)


def loaded_tasks(model: Model, members: Mapping[str, ServedModel]) -> tuple[str, ...]:
    """The names of the tasks that these members of a model compute, in the card's order."""
    return tuple(task.name for task in model.card.tasks.tasks if model.card_for(task).name in members)
