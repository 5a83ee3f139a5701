"""Counting that waits until what it counts is on its way: a lone query would stand still for its own metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def afterwards(count: Callable[..., object], *values: object) -> None:
    """Has the running loop call `count(*values)` in its next turn, behind all that this one still sends."""
    asyncio.get_running_loop().call_soon(count, *values)
