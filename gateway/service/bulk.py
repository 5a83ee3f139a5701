"""A request of many texts in portions: the model computes the first ones while the others are still tokenized.

Portions grow, so that the model starts after some ten milliseconds and the scheduler still sees most of the texts
together, which is what makes its calls of like length.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from gateway.batching.submission import Outcome
from gateway.caching.shared_rows import Asker
from gateway.errors import DeadlineExceeded, Overloaded
from gateway.records import record
from gateway.service.deadlines import before, within
from gateway.service.task_rows import TaskRows
from gateway.text.pool import HOP_CHARACTERS
from gateway.text.reading import WHOLE, Portion
from gateway.types import Input, TextInput, TokenRow

_GROWTH = 2
# Room in the queue is looked for this often where others fill it: about a call's time.
_LOOK_AGAIN_SECONDS = 0.05

ReadPortion = Callable[[Sequence[Input], Portion], Coroutine[Any, Any, TaskRows]]
"""The rows of some of a request's inputs."""


@record(frozen=True, slots=True)
class ComputedRows:
    """A request's rows in input order, what became of them, and how long reading took, in seconds."""

    rows: Sequence[TokenRow]
    outcome: Outcome
    tokenize_seconds: float


def portions(inputs: Sequence[Input]) -> list[Sequence[Input]]:
    """The inputs in order: about a hop's worth of characters first, then twice as many each time; all in one where it
    is not much more than that, or not all are texts."""
    if sum(len(given.text) if isinstance(given, TextInput) else 0 for given in inputs) <= _GROWTH * HOP_CHARACTERS:
        return [inputs]
    if not all(isinstance(given, TextInput) for given in inputs):
        return [inputs]
    return list(_growing(inputs))


def _growing(inputs: Sequence[Input]) -> Iterator[Sequence[Input]]:
    """What is left at the end goes with the portion before it: a few rows by themselves would count as interactive."""
    lengths = [len(given.text) if isinstance(given, TextInput) else 0 for given in inputs]
    left = sum(lengths)
    start = characters = 0
    room = HOP_CHARACTERS
    for place, length in enumerate(lengths):
        characters += length
        left -= length
        if characters >= room and left >= HOP_CHARACTERS:
            yield inputs[start : place + 1]
            start, characters, room = place + 1, 0, _GROWTH * room
    yield inputs[start:]


async def read_and_compute(
    inputs: Sequence[Input], read: ReadPortion, asker: Asker, *, in_portions: bool = True
) -> ComputedRows:
    """Raises what `read` and `SharedRows.submit` raise; then, as when it is cancelled, what has not been sent is
    dropped. A request that turns out to be too long is refused, whatever of it was computed by then."""
    started = time.monotonic()
    parts = portions(inputs) if in_portions and len(inputs) > 1 else [inputs]
    if len(parts) == 1:
        whole = await within(asker.deadline, read(inputs, WHOLE))
        tokenize_seconds = time.monotonic() - started
        return ComputedRows(whole.rows, await whole.compute(asker), tokenize_seconds)
    rows: list[TokenRow] = []
    tasks: list[asyncio.Task[Outcome]] = []
    try:
        async with asyncio.TaskGroup() as group:
            for number, part in enumerate(parts, start=1):
                tokens = sum(row.token_count for row in rows)
                portion = Portion(first_index=len(rows), tokens_before=tokens, is_last=number == len(parts))
                async with before(asker.deadline):
                    read_part = await read(part, portion)
                rows += read_part.rows
                tasks.append(group.create_task(_compute(read_part, asker, tuple(tasks))))
            tokenize_seconds = time.monotonic() - started
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return ComputedRows(rows, _joined([task.result() for task in tasks]), tokenize_seconds)


async def _compute(rows: TaskRows, asker: Asker, earlier: Sequence[asyncio.Task[Outcome]]) -> Outcome:
    """A request that was let in is not refused halfway: what finds no room waits for what went before, and then for
    room that others leave. Raises `DeadlineExceeded` where there is none in time."""
    try:
        return await rows.compute(asker)
    except Overloaded:
        if not earlier:
            raise
    await asyncio.wait(earlier)
    while True:
        try:
            return await rows.compute(asker)
        except Overloaded:
            left_seconds = asker.deadline - time.monotonic()
            if left_seconds <= 0:
                raise DeadlineExceeded("The request took longer than it may.") from None
        await asyncio.sleep(min(left_seconds, _LOOK_AGAIN_SECONDS))


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    return Outcome(
        values=[value for outcome in outcomes for value in outcome.values],
        queue_seconds=max(outcome.queue_seconds for outcome in outcomes),
        infer_seconds=max(outcome.infer_seconds for outcome in outcomes),
    )
