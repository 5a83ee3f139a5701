"""A tritonserver installed apart from the gateway: a folder laid out like NVIDIA's, made of the wheel's files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from gateway.errors import EmbeddedTritonError
from gateway.triton.embedded import distribution, installed_server
from gateway.triton.embedded.backend_directory import OUR_BACKENDS, prepared
from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.supervisor import EmbeddedTriton
from tests.support import graphs, python_models

OTHER_MINOR = 12 if sys.version_info.minor == 11 else 11


@pytest.fixture(scope="module")
def home(tritonserver: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/, lib/ and backends/ as in /opt/tritonserver; `onnxruntime` there is C++, here it is the one we have."""
    wheel, folder = distribution.locate(), tmp_path_factory.mktemp("opt") / "tritonserver"
    (folder / "bin").mkdir(parents=True)
    shutil.copy2(wheel.server, folder / "bin" / "tritonserver")
    shutil.copytree(wheel.library_folders[0], folder / "lib")
    for libpython in (each / f"libpython{distribution.python_version()}.so.1.0" for each in wheel.library_folders[1:]):
        shutil.copy2(libpython, folder / "lib")  # a container has it where the loader looks
    python = folder / "backends" / "python"
    shutil.copytree(wheel.python_backend, python, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(wheel.stub, python / "triton_python_backend_stub")
    shutil.copytree(OUR_BACKENDS / "onnxruntime", folder / "backends" / "onnxruntime")
    return folder


def test_it_serves_models_of_both_backends_from_its_own_folder(home: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    graphs.write_model(repository, "dense", graphs.dense())
    python_models.write_model(repository, "program")
    before = sorted(path for path in home.rglob("*") if "__pycache__" not in path.parts)
    triton = EmbeddedTriton(repository=repository, run_folder=tmp_path / "run", ports=Ports(*pick_free(3)), home=home)
    with BackgroundTriton(triton) as background:
        report = background.start(["dense", "program"])
        assert report.failed == {}
        assert triton.server_pid is not None
        assert Path(f"/proc/{triton.server_pid}/exe").readlink() == home / "bin" / "tritonserver"
        x = InferInput("x", [2, 64], "FP32")
        x.set_data_from_numpy(np.ones((2, 64), np.float32))
        with InferenceServerClient(report.endpoints.grpc) as client:
            assert client.infer("dense", [x]).as_numpy("y").shape == (2, 48)
    assert not (tmp_path / "run" / "backends").exists(), "its own backends are used as they are"
    assert sorted(path for path in home.rglob("*") if "__pycache__" not in path.parts) == before


def test_no_home_means_the_wheel(tritonserver: None, tmp_path: Path) -> None:
    found = installed_server.located(None)
    assert found == distribution.locate()
    assert not found.is_installed_apart
    assert prepared(found, tmp_path / "backends") == tmp_path / "backends"


@pytest.mark.parametrize("part", ["bin/tritonserver", "backends/python/triton_python_backend_stub"])
def test_a_folder_without_a_part_is_refused_by_name(tmp_path: Path, part: str) -> None:
    home = pretended(tmp_path, b"")
    (home / part).unlink()
    with pytest.raises(EmbeddedTritonError, match=f"GATEWAY_TRITON_HOME names .* no {part}") as caught:
        installed_server.locate(home)
    assert "/opt/tritonserver" in str(caught.value.remedy)


def test_a_stub_for_another_python_is_refused_with_its_version(tmp_path: Path) -> None:
    home = pretended(tmp_path, b"\0libpython3.%d.so.1.0\0" % OTHER_MINOR)
    with pytest.raises(EmbeddedTritonError, match=rf"runs models with Python 3\.{OTHER_MINOR} ") as caught:
        installed_server.locate(home)
    assert f"Python 3.{OTHER_MINOR}" in str(caught.value.remedy)


def test_numpy_2_is_refused_only_for_a_stub_that_was_built_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = b"\0libpython%s.so.1.0\0" % distribution.python_version().encode()
    new = pretended(tmp_path / "new", ours)
    old = pretended(tmp_path / "old", ours + b"numpy.core.multiarray\0")
    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.3.0")
    assert installed_server.locate(new).own_backends == new / "backends"
    with pytest.raises(EmbeddedTritonError, match=r"NumPy 2\.3\.0"):
        installed_server.locate(old)


def test_the_wheels_stub_is_known_to_be_one_that_reads_numpy_1_alone(tritonserver: None) -> None:
    program = distribution.locate().stub.read_bytes()
    assert installed_server.READS_NUMPY_1_ALONE in program
    installed_server.check_python(program, stub=Path("stub"))


def test_neither_the_wheels_python_nor_its_c_library_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distribution, "SUPPORTED_PYTHONS", ())
    monkeypatch.setattr(distribution, "OLDEST_GLIBC", (99, 0))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert installed_server.locate(pretended(tmp_path, b"")).is_installed_apart


def pretended(folder: Path, stub: bytes) -> Path:
    for name, content in (("bin/tritonserver", b""), ("backends/python/triton_python_backend_stub", stub)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(content)
    return folder
