"""Progress on a terminal moves and goes away; in a log each repeat is one line."""

from __future__ import annotations

import io

from rich.console import Console

from gateway.bench.terminal import TerminalProgress


def told(console: Console) -> str:
    with TerminalProgress(console, repeats=2) as progress:
        progress.begin(4)
        for repeat in range(2):
            for label in ("bulk: [gateway]", "bulk: ceiling"):
                progress.step(label, repeat=repeat)
                progress._bar.refresh()
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_log_has_a_line_a_repeat() -> None:
    assert told(Console(file=io.StringIO(), width=80)) == "repeat 1 of 2 ...\nrepeat 2 of 2 ...\n"


def test_a_terminal_shows_each_step_and_how_many_are_done() -> None:
    shown = told(Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None))
    for part in ("repeat 1 of 2, bulk: [gateway]", "repeat 2 of 2, bulk: ceiling", "0/4", "3/4"):
        assert part in shown
    assert "-1" not in shown
    assert "4/4" not in shown
