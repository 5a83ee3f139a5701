"""A request's inputs as rows of the Triton models that compute their tasks, and those models' answers as one.

The texts of one request may differ in task: an own prefix ("Query: ...") chooses the side of a search. So the rows may
need several adapters, which the scheduler keeps apart, and several members of a family, which are asked side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.batching.call import RowValue
from gateway.batching.submission import Outcome
from gateway.cards.schema import TaskSpec
from gateway.cards.tasks import TaskChoice, task_of_text
from gateway.service.served_models import PublicModel, ServedModel
from gateway.types import Input, Overflow, OwnPrefixes, RowGroup, RowOutput, TokenRow


@dataclass(frozen=True, slots=True)
class TaskRows:
    """`members` holds for each row the model that computes it."""

    rows: Sequence[TokenRow]
    members: Sequence[ServedModel]

    @property
    def token_count(self) -> int:
        return sum(row.token_count for row in self.rows)

    async def compute(self, *, deadline: float) -> Outcome:
        """The rows' values, in order. Raises what `Scheduler.submit` raises; the first failing row decides, and what
        other models still had to compute is dropped."""
        places: dict[str, list[int]] = {}
        for place, member in enumerate(self.members):
            places.setdefault(member.card.name, []).append(place)
        if len(places) == 1:
            return await self.members[0].scheduler.submit(self.rows, deadline=deadline)
        try:
            async with asyncio.TaskGroup() as group:
                parts = [group.create_task(self._submit(some, deadline=deadline)) for some in places.values()]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        outcomes = [part.result() for part in parts]
        values: dict[int, RowValue] = {}
        for some, outcome in zip(places.values(), outcomes, strict=True):
            values.update(zip(some, outcome.values, strict=True))
        return Outcome(
            values=[values[place] for place in range(len(self.rows))],
            queue_seconds=max(outcome.queue_seconds for outcome in outcomes),
            infer_seconds=max(outcome.infer_seconds for outcome in outcomes),
        )

    async def _submit(self, places: Sequence[int], *, deadline: float) -> Outcome:
        scheduler = self.members[places[0]].scheduler
        return await scheduler.submit([self.rows[place] for place in places], deadline=deadline)


async def read_rows(
    model: PublicModel,
    inputs: Sequence[Input],
    *,
    choice: TaskChoice,
    output: RowOutput,
    overflow: Overflow,
    own_prefixes: OwnPrefixes,
) -> TaskRows:
    """One row per input, in order, each with its task's prefix and adapter.

    Raises what `InputReader.rows` and `PublicModel.member_for` raise.
    """
    table = model.card.tasks
    if not table.tasks:
        rows = await model.reader.rows(inputs, overflow=overflow)
        return _routed(rows, [None] * len(rows), model=model, output=output)
    tasks = [choice.task] * len(inputs)
    if not choice.is_open:
        model.member_for(choice.task)  # before any work

    def prefix_of(place: int, text: str) -> str:
        found = task_of_text(table, choice, text, own_prefixes=own_prefixes)
        tasks[place] = found.task
        return found.prefix

    rows = await model.reader.rows(inputs, overflow=overflow, prefix_of=prefix_of)
    return _routed(rows, tasks, model=model, output=output)


def _routed(
    rows: Sequence[TokenRow], tasks: Sequence[TaskSpec | None], *, model: PublicModel, output: RowOutput
) -> TaskRows:
    routes: dict[str | None, tuple[ServedModel, RowGroup]] = {}
    members, grouped = [], []
    for row, task in zip(rows, tasks, strict=True):
        name = task.name if task is not None else None
        if name not in routes:
            adapter = task.adapter if task is not None else None
            routes[name] = model.member_for(task), RowGroup(adapter, output)
        member, group = routes[name]
        members.append(member)
        grouped.append(row if row.group == group else TokenRow(row.ids, row.truncated, group))
    return TaskRows(grouped, members)
