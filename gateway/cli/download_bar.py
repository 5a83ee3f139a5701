"""A progress bar for downloads: on a terminal it moves, in a log each transfer is one line at its end."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


class DownloadBar:
    """Implements `gateway.artifacts.progress.Progress`; use it as a context manager around the transfers. `title` says
    above them what they are for."""

    def __init__(self, console: Console, *, title: str) -> None:
        self._console = console
        self._title = title
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._expected: list[str] = []
        self._label = ""
        self._bytes = 0

    def __enter__(self) -> DownloadBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._settle()

    def expect(self, labels: Sequence[str], *, total_bytes: int | None = None) -> None:
        self._expected = list(labels)
        if total_bytes is not None:
            self._announce()
            self._print(f"{_size(total_bytes)} to fetch in all")

    def begin(self, label: str, *, total_bytes: int | None, done_bytes: int = 0) -> None:
        self._announce()
        self._label, self._bytes = self._numbered(label), done_bytes
        if self._bars is None:
            self._bars = _bars(self._console)
            self._bars.start()
        self._task = self._bars.add_task(self._label, total=total_bytes, completed=done_bytes)
        if done_bytes:
            self._print(f"{self._label}: going on from {_size(done_bytes)}")

    def advance(self, byte_count: int) -> None:
        self._bytes += byte_count
        if self._bars is not None and self._task is not None:
            self._bars.advance(self._task, byte_count)

    def end(self) -> None:
        self._task = None
        if not self._console.is_terminal:
            self._print(f"{self._label}: {_size(self._bytes)}")

    def step(self, what: str) -> None:
        self._announce()
        # What moves stands below all that is printed; the bars come first here.
        self._settle()
        self._print(f"{what} ...")

    def _announce(self) -> None:
        if self._title:
            self._print(f"{self._title}:")
            self._title = ""

    def _numbered(self, label: str) -> str:
        if label not in self._expected or len(self._expected) == 1:
            return label
        return f"file {self._expected.index(label) + 1} of {len(self._expected)}: {label}"

    def _settle(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._task = None

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False)


def _bars(console: Console) -> Progress:
    """Narrow enough for a window of 80 columns with the longest of our files."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _size(byte_count: int) -> str:
    return f"{byte_count / 1e6:.1f} MB" if byte_count >= 1e5 else f"{byte_count / 1e3:.1f} kB"
