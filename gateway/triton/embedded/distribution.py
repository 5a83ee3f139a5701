"""Finds the tritonserver that ships inside the `nvidia-pytriton` wheel and proves that it can run on this machine.

Every check that fails says what is wrong and the one command that mends it, before anything is started.
"""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import importlib.util
import os
import platform
import stat
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import EmbeddedTritonError

SUPPORTED_PYTHONS = ((3, 11), (3, 12))
OLDEST_GLIBC = (2, 35)
CONTAINERS = "docker compose --profile all-MiniLM-L6-v2 up -d"
ELSEWHERE = f"Run Triton in a container instead (docker-compose.yml): {CONTAINERS}"
INSTALL = "pip install -e '.[embedded]'"


@dataclass(frozen=True, slots=True)
class Distribution:
    """Where the parts of the embedded Triton lie.

    `library_folders` go on LD_LIBRARY_PATH, in this order. `python_backend` holds libtriton_python.so and its Python
    module; `stub` is the stub process for the running Python. `own_backends` is the whole backend directory of a
    tritonserver that is installed apart from the gateway, to be used as it is; None for the wheel's.
    """

    server: Path
    stub: Path
    python_backend: Path
    library_folders: tuple[Path, ...]
    own_backends: Path | None = None

    @property
    def is_installed_apart(self) -> bool:
        return self.own_backends is not None


def locate() -> Distribution:
    """All parts of the wheel, checked. Raises `EmbeddedTritonError` with the remedy for the first that is missing."""
    check_platform()
    check_python()
    check_glibc()
    check_numpy()
    package = find_package()
    libpython_folders = find_libpython()
    tritonserver = package / "tritonserver"
    server = tritonserver / "bin" / "tritonserver"
    stub = tritonserver / "python_backend_stubs" / python_version() / "triton_python_backend_stub"
    for part in (server, stub):
        make_executable(part)
    return Distribution(
        server=server,
        stub=stub,
        python_backend=tritonserver / "backends" / "python",
        library_folders=(package.parent / "nvidia_pytriton.libs", *libpython_folders),
    )


def python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def check_platform() -> None:
    """Raises `EmbeddedTritonError` on anything but Linux x86-64."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise EmbeddedTritonError(
            f"The embedded Triton runs on Linux x86-64 only; this is {platform.system()} {platform.machine()}.",
            remedy=ELSEWHERE,
        )


def check_python() -> None:
    """Raises `EmbeddedTritonError` for a Python that its stub is not built for."""
    if sys.version_info[:2] not in SUPPORTED_PYTHONS:
        known = " and ".join(f"{major}.{minor}" for major, minor in SUPPORTED_PYTHONS)
        raise EmbeddedTritonError(
            f"The embedded Triton works with Python {known}, this is {python_version()}; "
            "docker-compose.yml runs Triton beside any Python.",
            remedy=CONTAINERS,
        )


def check_glibc() -> None:
    """Raises `EmbeddedTritonError` for a C library that is older, or another one."""
    name, version = platform.libc_ver()
    found = tuple(int(part) for part in version.split(".")[:2]) if name == "glibc" else (0, 0)
    if found < OLDEST_GLIBC:
        raise EmbeddedTritonError(
            f"The embedded Triton needs glibc {OLDEST_GLIBC[0]}.{OLDEST_GLIBC[1]} or later "
            f"(Debian 12, Ubuntu 22.04); this system has {f'{name} {version}'.strip() or 'another C library'}.",
            remedy=ELSEWHERE,
        )


def check_numpy() -> None:
    """Raises `EmbeddedTritonError` for NumPy 2 and for none: the stub of this tritonserver reads arrays of NumPy 2
    wrongly, as empty outputs and equal rows, with no error."""
    try:
        version = importlib.metadata.version("numpy")
    except importlib.metadata.PackageNotFoundError:
        raise EmbeddedTritonError("NumPy is not installed.", remedy=INSTALL) from None
    if int(version.split(".")[0]) >= 2:
        raise EmbeddedTritonError(
            f"The embedded Triton gives wrong vectors with NumPy 2; NumPy {version} is installed.",
            remedy="pip install 'numpy<2'",
        )


def find_package() -> Path:
    """The installed `pytriton` package, found without importing it: its import is slow and has effects."""
    spec = importlib.util.find_spec("pytriton")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise EmbeddedTritonError("The wheel nvidia-pytriton, which carries tritonserver, is missing.", remedy=INSTALL)
    return Path(folders[0])


def find_libpython() -> tuple[Path, ...]:
    """Folders to add for the shared libpython that the stub loads; empty where the loader finds it by itself.

    Looked for beside the base Python first: one built by pyenv or uv brings its own. Debian's `python3.X` does not.
    """
    name = f"libpython{python_version()}.so.1.0"
    candidates = (Path(str(sysconfig.get_config_var("LIBDIR") or "/")), Path(sys.base_prefix) / "lib")
    folder = next((folder for folder in candidates if (folder / name).is_file()), None)
    if folder is not None:
        return (folder,)
    if ctypes.util.find_library(f"python{python_version()}") == name:
        return ()
    raise EmbeddedTritonError(
        f"{name} was not found; the embedded Triton's Python process needs it.",
        remedy=f"sudo apt-get install libpython{python_version()}",
    )


def make_executable(program: Path) -> None:
    """Wheels lose the run bit of data files; set it where this user may, else say how."""
    if not program.is_file():
        raise EmbeddedTritonError(
            f"{program.name} is missing from the installed wheel.", remedy=f"{INSTALL} --force-reinstall"
        )
    if os.access(program, os.X_OK):
        return
    try:
        program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError:
        raise EmbeddedTritonError(
            f"{program.name} may not be executed by this user.", remedy=f"sudo chmod +x {program}"
        ) from None
