"""Writes large JSON answers without holding up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import orjson

# Encoding about this much takes a few milliseconds; more would hold up every other request on the event loop.
INLINE_BYTES = 1024 * 1024


async def written(make: Callable[[], bytes], *, expected_bytes: int) -> bytes:
    """What `make` gives; made in a thread where it is going to be large. It has to go row by row, as `json_list` does:
    one long call into the encoder would keep every other thread waiting."""
    return make() if expected_bytes <= INLINE_BYTES else await asyncio.to_thread(make)


def json_list(rows: Iterable[Any]) -> bytes:
    """A JSON list, one row at a time. NumPy arrays in a row are written as lists."""
    return b"[%b]" % b",".join([orjson.dumps(row, None, orjson.OPT_SERIALIZE_NUMPY) for row in rows])
