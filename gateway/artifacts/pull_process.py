"""A pull in a process of its own: `python -m gateway.artifacts.pull_process`, with a `PullOrder` on its standard input.

Proving a model runs it, which takes as much memory as serving it; that belongs in no process that answers requests.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.pull_order import PullOrder, Report
from gateway.artifacts.pulling import pull
from gateway.artifacts.sources import Fetching
from gateway.cards.registry import Registry
from gateway.errors import GatewayError, SetupError

REPORT_SECONDS = 0.25
EXIT_FAULT = 1


class ReportedProgress:
    """Implements `gateway.artifacts.progress.Progress`; writes a line now and then."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._label = ""
        self._total: int | None = None
        self._done = 0
        self._told_at = 0.0
        self._all: int | None = None
        self._done_before = 0

    def expect(self, labels: Sequence[str], *, total_bytes: int | None = None) -> None:  # noqa: ARG002 - the protocol's
        """Where it is known what all files have together, that is told, else each file by itself."""
        self._all, self._done_before = total_bytes, 0

    def begin(self, label: str, *, total_bytes: int | None, done_bytes: int = 0) -> None:
        self._label, self._total, self._done = label, total_bytes, done_bytes
        self._tell()

    def advance(self, byte_count: int) -> None:
        self._done += byte_count
        if time.monotonic() - self._told_at >= REPORT_SECONDS:
            self._tell()

    def end(self) -> None:
        self._tell()
        self._done_before += self._done

    def step(self, what: str) -> None:
        write(self._stream, Report(step=what))

    def _tell(self) -> None:
        self._told_at = time.monotonic()
        if self._all is None:
            report = Report(label=self._label, done_bytes=self._done, total_bytes=self._total)
        else:
            done = self._done_before + self._done
            report = Report(label=self._label, done_bytes=done, total_bytes=self._all, is_overall=True)
        write(self._stream, report)


def run(order: PullOrder, stream: BinaryIO) -> int:
    """Pull what is ordered; the last line says how it ended. Returns the exit code."""
    hub = HubAccess(endpoint=order.endpoint, token=order.token)
    fetching = Fetching(staging=Path(order.staging), hub=hub, progress=ReportedProgress(stream))
    try:
        registry = Registry.from_repository(Path(order.models))
        (card,) = (card for card in registry.cards if card.name == order.card)
        pull(card, fetching, variant=order.variant)
    except GatewayError as error:
        remedy = f" {error.remedy}" if isinstance(error, SetupError) and error.remedy else ""
        write(stream, Report(error=f"{error.message}{remedy}"))
        return EXIT_FAULT
    write(stream, Report(is_done=True))
    return 0


def write(stream: BinaryIO, report: Report) -> None:
    stream.write(report.line())
    stream.flush()


def end_with_parent(given: BinaryIO) -> None:
    """Whoever ordered the pull holds our standard input open; when that ends, so do we, which harms no pull."""
    given.read()
    os._exit(EXIT_FAULT)


def main() -> int:
    given, told = sys.stdin.buffer, sys.stdout.buffer
    order = PullOrder.from_line(given.readline())
    threading.Thread(target=end_with_parent, args=(given,), name="parent", daemon=True).start()
    return run(order, told)


if __name__ == "__main__":
    # Past the interpreter's end, where it would wait for the thread that reads standard input.
    code = main()
    sys.stdout.flush()
    os._exit(code)
