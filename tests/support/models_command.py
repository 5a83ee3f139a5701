"""`gateway models ...` run in this process, and what it printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from gateway.cli import main


@dataclass
class Outcome:
    code: int
    out: str
    err: str


Gateway = Callable[..., Outcome]


def models_command(capsys: pytest.CaptureFixture[str]) -> Gateway:
    """Runs `gateway models` with the given arguments, in the settings that the test has made."""

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as caught:
            main(["models", *arguments])
        out, err = capsys.readouterr()
        return Outcome(int(caught.value.code or 0), out, err)

    return run
