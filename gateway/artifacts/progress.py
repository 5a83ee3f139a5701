"""How a pull tells whoever started it how far it is; the command line draws bars from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Progress(Protocol):
    """One transfer after another, and what comes after them. Calls come from the thread that fetches."""

    def expect(self, labels: Sequence[str], *, total_bytes: int | None = None) -> None:
        """What all transfers are, in their order, those that turn out not to be needed too; told again once more of
        them are known. `total_bytes` is what those that are still to come have together, where that is known and of
        interest: for a model in many files."""
        ...

    def begin(self, label: str, *, total_bytes: int | None, done_bytes: int = 0) -> None:
        """A transfer starts, or goes on from `done_bytes`. `total_bytes` is None where nobody knows."""
        ...

    def advance(self, byte_count: int) -> None:
        """More bytes are here; a negative count takes some back."""
        ...

    def end(self) -> None:
        """The transfer that `begin` announced is over, however it went."""
        ...

    def step(self, what: str) -> None:
        """Something that takes a while and has no bytes to count starts, such as "building the serving graph"."""
        ...


class SilentProgress:
    """For callers who show nothing."""

    def expect(self, labels: Sequence[str], *, total_bytes: int | None = None) -> None: ...

    def begin(self, label: str, *, total_bytes: int | None, done_bytes: int = 0) -> None: ...

    def advance(self, byte_count: int) -> None: ...

    def end(self) -> None: ...

    def step(self, what: str) -> None: ...
