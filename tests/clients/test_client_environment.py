"""The clients' environment: made once, made anew for other packages, and never taken for whole when it is not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import client_environment
from tests.support.client_environment import ClientEnvironmentError, client_python, client_variables
from tests.support.local_index import LocalIndex, local_index, make_wheel


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalIndex]:
    with local_index(monkeypatch) as index:
        for name in ("one", "two"):
            index.publish(name, "1.0", make_wheel(name, "1.0", {f"{name}.py": b"HERE = True\n"}))
        yield index


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where everything is, in place of this checkout: what is wanted is `one`, and newer `two`."""
    for name, text in (("REQUIREMENTS", "one==1.0\n"), ("NEWEST", "two==1.0\n")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(client_environment, name, tmp_path / name)
    monkeypatch.setattr(client_environment, "FOLDER", tmp_path / "made")
    monkeypatch.setattr(client_environment, "NEWEST_FOLDER", tmp_path / "made/newest")
    return tmp_path


def imports(python: Path, name: str, variables: dict[str, str]) -> bool:
    command = [python, "-c", f"import {name}"]
    return subprocess.run(command, env=variables, capture_output=True, timeout=60, check=False).returncode == 0


def test_it_is_made_once_and_anew_when_other_packages_are_wanted(folder: Path, index: LocalIndex) -> None:
    told: list[str] = []
    python = client_python(told.append)
    assert [sentence.partition(":")[0] for sentence in told] == ["Installing the clients' packages into .run/clients"]
    variables = client_variables(folder / "home")
    assert imports(python, "one", variables)
    assert not imports(python, "two", variables)
    assert imports(python, "two", variables | {"PYTHONPATH": str(folder / "made/newest")})
    asked = len(index.paths)
    assert client_python(told.append) == python
    assert (len(told), len(index.paths)) == (1, asked)
    (folder / "REQUIREMENTS").write_text("two==1.0\n")
    assert imports(client_python(told.append), "two", variables)
    assert not imports(python, "one", variables)
    assert len(told) == 2


def test_half_of_it_does_not_count(folder: Path, index: LocalIndex) -> None:
    (folder / "NEWEST").write_text("three==1.0\n")
    for _ in range(2):
        told: list[str] = []
        with pytest.raises(ClientEnvironmentError, match=r"three==1\.0"):
            client_python(told.append)
        assert len(told) == 1


def test_a_program_of_a_client_gets_nobodys_keys_and_proxies(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "HTTPS_PROXY", "GATEWAY_PORT"):
        monkeypatch.setenv(name, "somebody's")
    assert "somebody's" not in client_variables(folder / "home").values()
