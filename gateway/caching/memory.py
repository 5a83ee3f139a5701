"""Vectors kept in this process: the least recently used one goes first, by bytes and by age."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

# What an entry takes beside its value: key, tuple, two objects' headers and its place in the dictionary.
ENTRY_BYTES = 320


class MemoryStore:
    """Values by key, at most `max_bytes` of them with all they take, each for `ttl_seconds`."""

    def __init__(self, *, max_bytes: int, ttl_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._ttl_seconds = ttl_seconds
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self.held_bytes = 0

    def get(self, key: bytes) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        expires_at, value = entry
        if expires_at <= self._clock():
            self._forget(key)
            return None
        self._entries.move_to_end(key)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Keeps a value from now on; one that is larger than the whole store is not kept."""
        if key in self._entries:
            self._forget(key)
        size = len(value) + ENTRY_BYTES
        if size > self._max_bytes:
            return
        self._entries[key] = self._clock() + self._ttl_seconds, value
        self.held_bytes += size
        while self.held_bytes > self._max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: bytes) -> None:
        _, value = self._entries.pop(key)
        self.held_bytes -= len(value) + ENTRY_BYTES
