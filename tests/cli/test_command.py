"""The command as a whole: what it says about itself."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from gateway.cli import main


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"gateway {version('triton-embeddings-gateway')}\n"
