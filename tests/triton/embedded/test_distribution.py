"""What is checked before a server is started, and what each failed check tells the operator to do."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import sysconfig
from pathlib import Path

import pytest

from gateway.errors import EmbeddedTritonError
from gateway.triton.embedded import backend_directory, distribution


@pytest.mark.usefixtures("tritonserver")
def test_this_machine_passes_and_the_backend_directory_is_whole(tmp_path: Path) -> None:
    found = distribution.locate()
    stale = tmp_path / "backends" / "python" / "stale"
    stale.parent.mkdir(parents=True)
    stale.touch()
    folder = backend_directory.build(found, tmp_path / "backends")
    ours = backend_directory.OUR_BACKENDS
    modules = {path.relative_to(ours).as_posix() for path in ours.rglob("*.py")}
    assert "onnxruntime/model.py" in modules
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        *modules,
        "python/libtriton_python.so",
        "python/triton_python_backend_stub",
        "python/triton_python_backend_utils.py",
    }


@pytest.mark.usefixtures("tritonserver")
def test_the_stub_is_the_one_of_the_running_python() -> None:
    assert distribution.locate().stub.parent.name == f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 13, 0), (3, 14, 1)])
def test_another_python_names_the_compose_file(monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]) -> None:
    monkeypatch.setattr(sys, "version_info", VersionInfo(version))
    with pytest.raises(EmbeddedTritonError) as caught:
        distribution.check_python()
    assert "docker-compose.yml" in caught.value.message
    assert f"{version[0]}.{version[1]}" in caught.value.message
    assert caught.value.message.count(". ") == 0, "one sentence"


class VersionInfo(tuple[int, ...]):
    major = property(lambda self: self[0])
    minor = property(lambda self: self[1])


@pytest.mark.parametrize(
    ("libc", "passes"),
    [(("glibc", "2.35"), True), (("glibc", "2.41"), True), (("glibc", "2.34"), False), (("", ""), False)],
)
def test_glibc_has_to_be_new_enough(monkeypatch: pytest.MonkeyPatch, libc: tuple[str, str], passes: bool) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    if passes:
        distribution.check_glibc()
        return
    with pytest.raises(EmbeddedTritonError, match=r"2\.35"):
        distribution.check_glibc()


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("linux", "aarch64"), ("win32", "AMD64")])
def test_another_platform_is_refused(monkeypatch: pytest.MonkeyPatch, system: str, machine: str) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(EmbeddedTritonError, match=machine):
        distribution.check_platform()


def test_numpy_2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.4.0")
    with pytest.raises(EmbeddedTritonError, match=r"NumPy 2\.4\.0") as caught:
        distribution.check_numpy()
    assert caught.value.remedy == "pip install 'numpy<2'"


def test_a_missing_libpython_names_its_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(EmbeddedTritonError) as caught:
        distribution.find_libpython()
    assert caught.value.remedy == f"sudo apt-get install libpython{sys.version_info.major}.{sys.version_info.minor}"


def test_a_libpython_the_loader_knows_needs_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setattr("ctypes.util.find_library", lambda name: f"lib{name}.so.1.0")
    assert distribution.find_libpython() == ()


def test_a_missing_wheel_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EmbeddedTritonError) as caught:
        distribution.find_package()
    assert "embedded" in (caught.value.remedy or "")


def test_a_lost_run_bit_is_set(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o644)
    distribution.make_executable(program)
    assert program.stat().st_mode & 0o111 == 0o111


def test_a_missing_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedTritonError, match="tritonserver is missing"):
        distribution.make_executable(tmp_path / "tritonserver")
