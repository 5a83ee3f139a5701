"""How an expected error reads on a terminal: what is wrong, then what mends it. Never a traceback."""

from __future__ import annotations

from typing import TextIO

from gateway.errors import GatewayError, SetupError


def render(error: GatewayError, stream: TextIO) -> None:
    print(f"Error: {error.message}", file=stream)
    if isinstance(error, SetupError) and error.remedy:
        print(f"Remedy: {error.remedy}", file=stream)
