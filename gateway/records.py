"""Immutable values that every request makes: frozen where code is checked, cheap to fill where it runs.

Own code because a frozen dataclass fills each field by `object.__setattr__`: with 64 clients that took 8 % of the
gateway's time. mypy takes `record` for `dataclass`, and refuses what writes to a field before anything runs.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, slots: bool) -> Any:
        """`@record(frozen=True, slots=True)`: a dataclass with slots, equality and a hash of its fields."""
        return dataclasses.dataclass(slots=slots, unsafe_hash=frozen)
