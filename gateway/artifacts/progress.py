"""How a download tells whoever started it how far it is; the command line draws a bar from it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """One transfer after another. Calls come from the thread that fetches."""

    def begin(self, label: str, *, total_bytes: int | None, done_bytes: int = 0) -> None:
        """A transfer starts, or goes on from `done_bytes`. `total_bytes` is None where nobody knows."""
        ...

    def advance(self, byte_count: int) -> None:
        """More bytes are here; a negative count takes some back."""
        ...

    def end(self) -> None:
        """The transfer that `begin` announced is over, however it went."""
        ...


class SilentProgress:
    """For callers who show nothing."""

    def begin(self, label: str, *, total_bytes: int | None, done_bytes: int = 0) -> None: ...

    def advance(self, byte_count: int) -> None: ...

    def end(self) -> None: ...
