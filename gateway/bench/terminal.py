"""A run on a terminal: how far it is while it runs, its tables in the end. In a log each repeat is one line."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from gateway.bench.page import tables_of
from gateway.bench.record import Record
from gateway.bench.tables import COLUMNS, NARROW_COLUMNS

WIDE = 180
"""Characters a line from which all columns are readable."""


class TerminalProgress:
    """Implements `gateway.bench.run.Progress`. On a terminal a bar that goes away in the end."""

    def __init__(self, console: Console, *, repeats: int) -> None:
        self._console = console
        self._repeats = repeats
        self._told = -1
        self._begun = 0
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bar = RichProgress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("warming up", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def begin(self, steps: int) -> None:
        self._bar.update(self._task, total=steps)

    def step(self, label: str, *, repeat: int) -> None:
        words = f"repeat {repeat + 1} of {self._repeats}"
        # A step is told of when it begins, and done when the next one does.
        self._bar.update(self._task, completed=self._begun, description=f"{words}, {label}")
        self._begun += 1
        if not self._console.is_terminal and repeat != self._told:
            self._told = repeat
            self._console.print(Text(f"{words} ..."))


def print_record(record: Record, console: Console) -> None:
    """Machine, tables, warnings and, last, whether it counts."""
    hardware = ", ".join(f"{name} {value}" for name, value in record.hardware.items())
    versions = ", ".join(f"{name} {value}" for name, value in record.versions.items())
    load = " ".join(f"{value:.2f}" for value in record.before.load)
    console.print(Text(f"{record.started_at[:10]}, {record.model}, {hardware}, load before {load}"))
    console.print(Text(versions))
    columns = tuple(COLUMNS) if console.width >= WIDE else NARROW_COLUMNS
    for table in tables_of(record, columns):
        shown = Table(*map(escape, table.headings), title=escape(table.title), title_justify="left")
        for row in table.rows:
            shown.add_row(*map(Text, row))
        console.print(shown)
    for warning in record.warnings:
        console.print(Text(f"Note: {warning}"), style="yellow")
    if record.quick:
        console.print(Text("A quick run: it shows that everything works and is nothing to quote."), style="yellow")
    if record.void:
        console.print(Text(f"VOID: {record.void}"), style="bold red")
