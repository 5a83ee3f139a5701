"""Writes large JSON answers without holding up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import orjson

from gateway.types import Float32Array
from gateway.vectors.encoders import float_lists

# Encoding about this much takes a few milliseconds; more would hold up every other request on the event loop.
INLINE_BYTES = 1024 * 1024
_ROWS_AT_ONCE = 4096


async def written(make: Callable[[], bytes], *, expected_bytes: int) -> bytes:
    """What `make` gives; made in a thread where it is going to be large. It has to go row by row, as `json_list` does:
    one long call into the encoder would keep every other thread waiting."""
    return make() if expected_bytes <= INLINE_BYTES else await asyncio.to_thread(make)


def json_list_of_small(rows: Sequence[Any]) -> bytes:
    """A JSON list of very many rows that are each too small for a call of their own, some thousand at a time."""
    parts = [orjson.dumps(rows[start : start + _ROWS_AT_ONCE])[1:-1] for start in range(0, len(rows), _ROWS_AT_ONCE)]
    return b"[%b]" % b",".join(parts)


def json_list(rows: Iterable[Any]) -> bytes:
    """A JSON list, one row at a time. NumPy arrays in a row are written as lists."""
    return b"[%b]" % b",".join([orjson.dumps(row, None, orjson.OPT_SERIALIZE_NUMPY) for row in rows])


def json_vectors(vectors: Float32Array) -> bytes:
    """The rows of float32 [rows, size] as a JSON list of lists, whose numbers read back as the same values. They have
    to be finite."""
    return b"[%b]" % b",".join(float_lists(vectors))


def json_list_pieces(rows: Sequence[Any], *, rows_at_once: int) -> Iterator[bytes]:
    """As `json_list`, in pieces that add up to it, for whoever puts more than one list together."""
    yield b"["
    for start in range(0, len(rows), rows_at_once):
        if start:
            yield b","
        yield orjson.dumps(rows[start : start + rows_at_once], None, orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    yield b"]"
