"""Images that cannot be used, as the parts of this package tell each other."""

from __future__ import annotations

from gateway.telemetry.metrics import ImageRefusal


class UnusableImage(Exception):
    """`reason` ends a sentence that begins with the input, for the caller; `refusal` is what it counts as."""

    refusal = ImageRefusal.UNREADABLE

    def __init__(self, reason: str, *, refusal: ImageRefusal | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        if refusal is not None:
            self.refusal = refusal
