"""Builds the folder that tritonserver takes its backends from: `python/` out of the wheel, `onnxruntime/` ours."""

from __future__ import annotations

import shutil
from pathlib import Path

from gateway.triton.embedded.distribution import Distribution

OUR_BACKENDS = Path(__file__).parent / "backends"
PYTHON_BACKEND_FILES = ("libtriton_python.so", "triton_python_backend_utils.py")


def prepared(distribution: Distribution, folder: Path) -> Path:
    """Where the server finds its backends: its own directory as it is where it has one, else one built at `folder`."""
    return distribution.own_backends or build(distribution, folder)


def build(distribution: Distribution, folder: Path) -> Path:
    """A fresh backend directory at `folder`, built from scratch so that no file of an older version stays in it.

    Files are copied (3 MB): Triton refuses links that lead out of a backend's folder, and an upgrade of the wheel must
    not change a running server.
    """
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "python"
    python.mkdir(parents=True)
    for name in PYTHON_BACKEND_FILES:
        shutil.copy2(distribution.python_backend / name, python / name)
    shutil.copy2(distribution.stub, python / distribution.stub.name)
    shutil.copytree(OUR_BACKENDS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return folder
