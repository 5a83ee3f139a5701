"""Since when a model is proved without a break: only what it gave within one such stretch may be kept."""

from __future__ import annotations


class Proof:
    """One model's. Told by its watch, asked by its cache."""

    def __init__(self) -> None:
        self._stretches = 0
        self._holds = False

    def tell(self, *, ready: bool) -> None:
        """Whether the model is ready, as its last canary, or the last call that failed, has shown."""
        if ready and not self._holds:
            self._stretches += 1
        self._holds = ready

    @property
    def stretch(self) -> int | None:
        """A number that is the same as long as the model stays proved, and never again; None while it is not."""
        return self._stretches if self._holds else None
