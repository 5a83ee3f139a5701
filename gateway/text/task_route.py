"""Where a row carries its task's adapter: in its group, or by itself for a model that takes an adapter a row."""

from __future__ import annotations

from gateway.cards.schema import Card, TaskSpec
from gateway.cards.triton_spec import InputRole
from gateway.types import RowGroup, RowOutput


def task_route(
    card: Card, task: TaskSpec | None, *, output: RowOutput = RowOutput.VECTOR, images: bool = False
) -> tuple[RowGroup, int | None]:
    """The group of a task's rows and the adapter that each of them has by itself.

    Where the model takes an adapter a row, rows of all tasks are of one group and share calls; else each task has a
    group of its own, and the rows no adapter.
    """
    adapter = task.adapter if task is not None else None
    if card.triton.input(InputRole.ROW_ADAPTERS) is None:
        return RowGroup(adapter, output, images), None
    return RowGroup(None, output, images), adapter
