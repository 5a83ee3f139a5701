"""Holding work that knows nothing of a request's deadline, such as tokenizing, to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.errors import DeadlineExceeded


@asynccontextmanager
async def before(deadline: float) -> AsyncIterator[None]:
    """Cancels what is awaited in the block when `deadline`, a reading of `time.monotonic()`, has come.

    Raises `DeadlineExceeded` then, and at once where it has passed already.
    """
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise _too_late()
    try:
        async with asyncio.timeout(remaining):
            yield
    except TimeoutError:
        raise _too_late() from None


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The request took longer than it may.")
