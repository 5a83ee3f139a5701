"""A deadline that no test meets."""

from __future__ import annotations

import time


def soon() -> float:
    return time.monotonic() + 240
