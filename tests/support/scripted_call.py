"""A model call that follows a script: right vectors after a delay, or the failure the script asks for.

A row's vector is computed from its own ids (`vector_of`), so that a row lost, doubled or swapped is seen.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.batching.call import CallResult
from gateway.types import Float32Array, Int64Array, RowGroup, TokenRow

SIZE = 4

Script = Callable[[int, Sequence[TokenRow]], float]
"""Given the call's number and its rows: seconds to take. May raise what an engine raises."""


def at_once(_number: int, _rows: Sequence[TokenRow]) -> float:
    return 0.0


def vector_of(ids: Int64Array) -> Float32Array:
    seed = np.random.SeedSequence([len(ids), *(int(one) for one in ids[:8])])
    return np.random.default_rng(seed).normal(size=SIZE).astype(np.float32)


def row(text_id: int, length: int, adapter: int | None = None) -> TokenRow:
    """A row of `length` tokens that no other text id shares."""
    ids = np.zeros(length, dtype=np.int64)
    ids[0] = text_id
    return TokenRow(ids=ids, group=RowGroup(adapter))


@dataclass
class ScriptedCall:
    """Implements `gateway.batching.call.ModelCall` and keeps what it was asked. No call ends before `held` is set, and
    none of rows above `long_row_tokens` before `held_long` is."""

    script: Script = at_once
    calls: list[list[int]] = field(default_factory=list)
    lengths: list[list[int]] = field(default_factory=list)
    groups: list[set[RowGroup]] = field(default_factory=list)
    held: asyncio.Event | None = None
    held_long: asyncio.Event | None = None
    long_row_tokens: int = sys.maxsize
    under_way: int = 0
    most_under_way: int = 0
    long_under_way: int = 0
    most_long_under_way: int = 0

    async def __call__(self, rows: Sequence[TokenRow], *, timeout_seconds: float, urgent: bool = False) -> CallResult:
        number = len(self.calls)
        self.calls.append([int(row.ids[0]) for row in rows])
        self.lengths.append([len(row.ids) for row in rows])
        self.groups.append({row.group for row in rows})
        is_long = max(self.lengths[-1]) > self.long_row_tokens
        self._count(is_long, +1)
        try:
            await asyncio.sleep(self.script(number, rows))
            for held in (self.held, self.held_long if is_long else None):
                if held is not None:
                    await held.wait()
        finally:
            self._count(is_long, -1)
        return CallResult([vector_of(row.ids) for row in rows])

    def _count(self, is_long: bool, change: int) -> None:
        self.under_way += change
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.long_under_way += change * is_long
        self.most_long_under_way = max(self.most_long_under_way, self.long_under_way)
