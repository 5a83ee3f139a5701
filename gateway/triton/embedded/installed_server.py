"""A tritonserver that is installed apart from the gateway, such as the one of NVIDIA's container in /opt/tritonserver.

Its ONNX Runtime is the C++ backend, on GPUs as well, so its backend directory is used as it is. Only what its Python
process needs of this environment is checked: the same Python, and a NumPy that it can read.
"""

from __future__ import annotations

import re
from pathlib import Path

from gateway.errors import EmbeddedTritonError
from gateway.triton.embedded import distribution
from gateway.triton.embedded.distribution import Distribution

STUB = Path("backends", "python", "triton_python_backend_stub")

LINKED_PYTHON = re.compile(rb"libpython(3\.\d+)\.so")
# Stubs that were built before NumPy 2 import this name in one piece; those that know both put it together.
READS_NUMPY_1_ALONE = b"numpy.core.multiarray"


def located(home: Path | None) -> Distribution:
    """The server in `home`, checked, or the wheel's where none is given. Raises `EmbeddedTritonError` with a remedy."""
    return distribution.locate() if home is None else locate(home.resolve())


def locate(home: Path) -> Distribution:
    """The parts of the server in this folder. Raises `EmbeddedTritonError` for the first that cannot be used."""
    distribution.check_platform()
    server, stub = home / "bin" / "tritonserver", home / STUB
    for part in (server, stub):
        if not part.is_file():
            raise EmbeddedTritonError(
                f"GATEWAY_TRITON_HOME names {home}, which has no {part.relative_to(home)}.",
                remedy="Set it to the folder of a tritonserver, in NVIDIA's container /opt/tritonserver, or unset it.",
            )
    program = stub.read_bytes()
    check_python(program, stub=stub)
    if READS_NUMPY_1_ALONE in program:
        distribution.check_numpy()
    return Distribution(
        server=server,
        stub=stub,
        python_backend=stub.parent,
        library_folders=(home / "lib",),
        own_backends=home / "backends",
    )


def check_python(program: bytes, *, stub: Path) -> None:
    """Raises `EmbeddedTritonError` where the stub embeds another Python than the one that runs here, whose packages,
    torch and the gateway among them, it could not load.
    """
    found = LINKED_PYTHON.search(program)
    if found is not None and (version := found[1].decode()) != distribution.python_version():
        raise EmbeddedTritonError(
            f"The Triton in GATEWAY_TRITON_HOME runs models with Python {version} ({stub}); the gateway runs with "
            f"Python {distribution.python_version()}, and both have to share their packages.",
            remedy=f"Install the gateway in an environment of Python {version}, or unset GATEWAY_TRITON_HOME.",
        )
