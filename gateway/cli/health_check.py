"""One finding of `gateway doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """`remedy` is the command or sentence that mends a fault, or an offer where there is none."""

    name: str
    ok: bool
    finding: str
    remedy: str | None = None
