"""What models of the Python backend are given by a start, without one."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
from pathlib import Path

import pytest

from gateway.triton.embedded import command, python_models
from gateway.triton.embedded.distribution import Distribution
from gateway.triton.embedded.ports import Ports
from gateway.triton.embedded.python_models import PythonModelSettings, torch_computes_on_gpus, usable_cores
from tests.support import graphs
from tests.support.python_models import write_model

WHEEL = Distribution(
    server=Path("/wheel/tritonserver"),
    stub=Path("/wheel/stub"),
    python_backend=Path("/wheel/python"),
    library_folders=(Path("/wheel/libs"),),
)
APART = Distribution(
    server=Path("/opt/tritonserver/bin/tritonserver"),
    stub=Path("/opt/tritonserver/backends/python/triton_python_backend_stub"),
    python_backend=Path("/opt/tritonserver/backends/python"),
    library_folders=(Path("/opt/tritonserver/lib"),),
    own_backends=Path("/opt/tritonserver/backends"),
)


@pytest.fixture
def torch_version_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an installed torch says what it was built with."""
    spec = importlib.machinery.ModuleSpec("torch", None, origin=str(tmp_path / "torch" / "__init__.py"))
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "torch" else find(name))
    (tmp_path / "torch").mkdir()
    return tmp_path / "torch" / "version.py"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cuda: Optional[str] = '12.8'\n", True),
        ('__version__ = "2"\ncuda = "13.0"\nhip = None\n', True),
        ("cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n", False),
        ("", False),
    ],
)
def test_a_build_with_cuda_is_told_by_its_own_file(torch_version_file: Path, text: str, expected: bool) -> None:
    assert torch_computes_on_gpus() is False, "a file that is not there"
    torch_version_file.write_text(text)
    assert torch_computes_on_gpus() is expected


def test_without_torch_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert torch_computes_on_gpus() is False


def environment(
    distribution: Distribution, *, has_python_models: bool = True, dtype: str | None = None
) -> dict[str, str]:
    return command.environment(
        distribution, settings=PythonModelSettings(dtype=dtype), has_python_models=has_python_models
    )


@pytest.mark.parametrize(("build", "is_shown"), [("cuda = '12.8'", True), ("cuda = None", False)])
def test_gpus_are_shown_where_torch_can_use_them(
    torch_version_file: Path, monkeypatch: pytest.MonkeyPatch, build: str, is_shown: bool
) -> None:
    torch_version_file.write_text(build)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/local/nvidia/lib64")
    assert environment(WHEEL).get("CUDA_VISIBLE_DEVICES") == (None if is_shown else "")
    assert environment(WHEEL)["LD_LIBRARY_PATH"].split(os.pathsep)[1:] == (
        ["/usr/local/nvidia/lib64"] if is_shown else []
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert environment(WHEEL)["CUDA_VISIBLE_DEVICES"] == ("1" if is_shown else "")


def test_without_a_python_model_the_wheels_server_sees_none(
    torch_version_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch_version_file.write_text("cuda = '12.8'")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert environment(WHEEL, has_python_models=False)["CUDA_VISIBLE_DEVICES"] == ""
    assert environment(APART, has_python_models=False)["CUDA_VISIBLE_DEVICES"] == "0"


def test_memory_comes_in_large_pages_unless_whoever_starts_it_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    assert environment(WHEEL)["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    assert environment(WHEEL)["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=0"


def test_settings_come_from_the_gateway_and_not_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DTYPE", "float16")
    assert environment(WHEEL, dtype="bfloat16")["GATEWAY_DTYPE"] == "bfloat16"
    assert "GATEWAY_DTYPE" not in environment(WHEEL)
    assert "GATEWAY_DTYPE" not in environment(WHEEL, dtype="bfloat16", has_python_models=False)


@pytest.mark.parametrize("distribution", [WHEEL, APART])
def test_nobody_is_asked_for_files_and_no_thread_spins(
    distribution: Distribution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    given = environment(distribution)
    assert (given["HF_HUB_OFFLINE"], given["OMP_WAIT_POLICY"]) == ("1", "PASSIVE")
    assert given["OMP_NUM_THREADS"] == str(usable_cores())
    assert not {"HF_HUB_OFFLINE", "OMP_WAIT_POLICY"} & environment(distribution, has_python_models=False).keys()


def test_the_wheel_alone_is_kept_off_the_gpu(tmp_path: Path) -> None:
    def options(distribution: Distribution, model: str) -> set[str]:
        line = command.command_line(
            distribution,
            folder=None,
            backends=Path("/backends"),
            repository=tmp_path,
            models=[model],
            ports=Ports(1, 2, 3),
        )
        return {option.rpartition("=")[0] for option in line}

    write_model(tmp_path, "program")
    graphs.write_model(tmp_path, "dense", graphs.dense())
    assert "--allow-gpu-metrics" in options(WHEEL, "dense")
    assert "--allow-gpu-metrics" not in options(APART, "dense")
    patience = "--backend-config=python,stub-timeout-seconds"
    assert patience in options(WHEEL, "program")
    assert patience not in options(WHEEL, "dense")


@pytest.mark.parametrize(
    ("quota", "expected"), [("max 100000", 8), ("150000 100000", 2), ("10000 100000", 1), ("1600000 100000", 8)]
)
def test_a_containers_share_of_time_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(python_models, "CPU_QUOTA", tmp_path / "cpu.max")
    assert usable_cores() == 8, "no such file"
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cores() == expected
