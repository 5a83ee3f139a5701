"""Several calls of a service for one request, and what they took together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import astuple
from typing import Any, TypeVar

from gateway.types import StageSeconds, Usage

_Result = TypeVar("_Result")


async def side_by_side(work: Sequence[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """The results, in order. Where one fails the others are dropped, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def together(costs: Iterable[tuple[Usage, StageSeconds]]) -> tuple[Usage, StageSeconds]:
    """What all of them took: tokens added up, of each stage the longest."""
    usages, stages = zip(*costs, strict=True)
    return Usage(*map(sum, zip(*map(astuple, usages), strict=True))), StageSeconds(
        *map(max, zip(*map(astuple, stages), strict=True))
    )
