"""What a process that pulls one model is told, and what it tells back: lines of JSON. Light, so that the gateway itself
need not load what pulling needs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

# The folder in the run folder for what is half downloaded.
DOWNLOADS = "downloads"


@dataclass(frozen=True, slots=True)
class PullOrder:
    """`card` is a card's own name; `models` and `staging` are absolute paths. The rest is as in `Fetching` and
    `HubAccess`."""

    card: str
    models: str
    staging: str
    variant: str | None = None
    endpoint: str | None = None
    token: str | None = None

    def line(self) -> bytes:
        return _line(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> PullOrder:
        return cls(**json.loads(line))


@dataclass(frozen=True, slots=True)
class Report:
    """How far a pull has come: with one file, in bytes, or, `is_overall`, with all of them; or at which `step` after
    the files it is; at its end with `is_done`, or with the `error` it ended in."""

    label: str = ""
    done_bytes: int = 0
    total_bytes: int | None = None
    step: str = ""
    is_done: bool = False
    error: str | None = None
    is_overall: bool = False

    def line(self) -> bytes:
        return _line(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> Report:
        return cls(**json.loads(line))


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode() + b"\n"
