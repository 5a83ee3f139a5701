"""A request's inputs as rows of the Triton models that compute their tasks, and those models' answers as one.

The texts of one request may differ in task: an own prefix ("Query: ...") chooses the side of a search. So the rows may
need several adapters, which the scheduler keeps apart where a call has one, and several members of a family, which are
asked side by side. Images have no prefix and are of the request's own task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from gateway.batching.call import RowValue
from gateway.batching.submission import Outcome
from gateway.caching.shared_rows import Asker
from gateway.cards.schema import TaskSpec
from gateway.cards.tasks import TaskChoice, task_of_text
from gateway.records import record
from gateway.service.public_model import PublicModel, ServedModel
from gateway.text.reading import WHOLE, Portion
from gateway.text.task_route import task_route
from gateway.types import Input, Overflow, OwnPrefixes, RowGroup, RowOutput, TokenRow, UInt8Array


@record(frozen=True, slots=True)
class TaskRows:
    """A request's rows in input order, and who computes which of them: `places` are each member's, by their numbers;
    of a single member, which has all, they may be left out."""

    rows: Sequence[TokenRow]
    members: Sequence[ServedModel]
    places: Sequence[Sequence[int]] = ()

    def compute(self, asker: Asker) -> Coroutine[Any, Any, Outcome]:
        """The rows' values, in order. Raises what `SharedRows.submit` raises; the first failing row decides, and what
        other models still had to compute is dropped."""
        if len(self.members) == 1:
            return self.members[0].shared.submit(self.rows, asker)
        return self._compute_side_by_side(asker)

    async def _compute_side_by_side(self, asker: Asker) -> Outcome:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(member.shared.submit([self.rows[place] for place in places], asker))
                    for member, places in zip(self.members, self.places, strict=True)
                ]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        outcomes = [task.result() for task in tasks]
        values: dict[int, RowValue] = {}
        for places, outcome in zip(self.places, outcomes, strict=True):
            values.update(zip(places, outcome.values, strict=True))
        return Outcome(
            values=[values[place] for place in range(len(self.rows))],
            queue_seconds=max(outcome.queue_seconds for outcome in outcomes),
            infer_seconds=max(outcome.infer_seconds for outcome in outcomes),
        )


async def read_rows(
    model: PublicModel,
    inputs: Sequence[Input],
    *,
    choice: TaskChoice,
    output: RowOutput,
    overflow: Overflow,
    own_prefixes: OwnPrefixes,
    max_tokens: int | None = None,
    images: Mapping[int, UInt8Array] | None = None,
    portion: Portion = WHOLE,
) -> TaskRows:
    """One row per input, in order, each with its task's prefix and adapter; `images` are the pixels of those that are
    images, by their numbers. `portion` says which of a request's inputs these are, where they are not all, and
    `max_tokens` what stands in for the model's window.

    Raises what `InputReader.rows` and `PublicModel.member_for` raise.
    """
    table = model.card.tasks
    if not table.tasks:
        rows = await model.reader.rows(inputs, overflow=overflow, max_tokens=max_tokens, images=images, portion=portion)
        if output is RowOutput.VECTOR and not images:
            return TaskRows(rows, (model.member_for(None),))
        return _routed(rows, [None] * len(rows), model=model, output=output)
    tasks = [choice.task] * len(inputs)
    if not choice.is_open:
        model.member_for(choice.task)  # before any work

    def prefix_of(place: int, text: str) -> str:
        found = task_of_text(table, choice, text, own_prefixes=own_prefixes)
        tasks[place] = found.task
        return found.prefix

    rows = await model.reader.rows(
        inputs, overflow=overflow, max_tokens=max_tokens, prefix_of=prefix_of, images=images, portion=portion
    )
    return _routed(rows, tasks, model=model, output=output)


def _routed(
    rows: Sequence[TokenRow], tasks: Sequence[TaskSpec | None], *, model: PublicModel, output: RowOutput
) -> TaskRows:
    members: dict[str, ServedModel] = {}
    places_of: dict[str, list[int]] = {}
    routes: dict[tuple[str | None, bool], tuple[RowGroup, int | None, list[int]]] = {}
    grouped = []
    for place, (row, task) in enumerate(zip(rows, tasks, strict=True)):
        route = task.name if task is not None else None, row.pixels is not None
        if route not in routes:
            member = model.member_for(task)
            places = places_of.setdefault(member.card.name, [])
            members[member.card.name] = member
            group, adapter = task_route(member.card, task, output=output, images=row.pixels is not None)
            routes[route] = group, adapter, places
        group, adapter, places = routes[route]
        places.append(place)
        grouped.append(TokenRow(row.ids, row.truncated, group, adapter=adapter, pixels=row.pixels))
    return TaskRows(grouped, list(members.values()), list(places_of.values()))
