"""A sentence for whoever waits for tests that install: said at once, past pytest's own capture."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest


def past_capture(config: pytest.Config) -> Callable[[str], None]:
    capture = config.pluginmanager.getplugin("capturemanager")

    def tell(sentence: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{sentence}", file=sys.stderr, flush=True)

    return tell
