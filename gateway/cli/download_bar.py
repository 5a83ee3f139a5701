"""A progress bar for downloads: on a terminal it moves, in a log each transfer is one line at its end."""

from __future__ import annotations

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
    """Implements `gateway.artifacts.progress.Progress`; use it as a context manager around the transfers."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._label = ""
        self._bytes = 0

    def __enter__(self) -> DownloadBar:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, label: str, *, total_bytes: int | None, done_bytes: int = 0) -> None:
        self._label, self._bytes = label, done_bytes
        self._task = self._bars.add_task(label, total=total_bytes, completed=done_bytes)
        if done_bytes:
            self._console.print(f"{label}: going on from {_size(done_bytes)}", highlight=False)

    def advance(self, byte_count: int) -> None:
        self._bytes += byte_count
        if self._task is not None:
            self._bars.advance(self._task, byte_count)

    def end(self) -> None:
        self._task = None
        if not self._console.is_terminal:
            self._console.print(f"{self._label}: {_size(self._bytes)}", highlight=False)


def _size(byte_count: int) -> str:
    return f"{byte_count / 1e6:.1f} MB" if byte_count >= 1e5 else f"{byte_count / 1e3:.1f} kB"
