"""The command line and the environment that tritonserver is started with here."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.errors import EmbeddedTritonError
from gateway.triton.embedded.distribution import Distribution
from gateway.triton.embedded.model_configs import need_auto_completion
from gateway.triton.embedded.ports import LOOPBACK, Ports

# All that passes from our environment: keys and hub tokens have no business in Triton, and PYTHONHOME breaks a stub.
PASSED_VARIABLES = ("HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")

# Triton puts these paths into a shell's command line as they are, and waits for ever for a stub that it did not start.
SHELL_CHARACTERS = re.compile(r"""[\s'"\\$`&|;<>()*?\[\]{}#~!]""")


def working_folder(*paths: Path) -> Path | None:
    """Where tritonserver has to be started so that these paths can be given without their beginning, which holds a
    blank or the like; None where they are plain as they are.
    """
    return Path(os.path.commonpath(paths)) if any(SHELL_CHARACTERS.search(str(path)) for path in paths) else None


def command_line(
    distribution: Distribution,
    *,
    folder: Path | None,
    backends: Path,
    repository: Path,
    models: Sequence[str],
    ports: Ports,
) -> list[str]:
    """Loopback only, exactly the named models, and a model that fails to load does not take the server down.

    To be run in `folder`, if there is one; raises `EmbeddedTritonError` where a path below it is not plain either.
    """
    return [
        str(distribution.server),
        f"--model-repository={plain(repository, folder)}",
        f"--backend-directory={plain(backends, folder)}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in models),
        *(() if need_auto_completion(repository, models) else ("--disable-auto-complete-config",)),
        "--exit-on-error=false",
        f"--grpc-address={LOOPBACK}",
        f"--grpc-port={ports.grpc}",
        f"--http-address={LOOPBACK}",
        f"--http-port={ports.http}",
        f"--metrics-address={LOOPBACK}",
        f"--metrics-port={ports.metrics}",
        "--allow-gpu-metrics=false",
        "--pinned-memory-pool-byte-size=0",
        "--log-format=ISO8601",
    ]


def plain(path: Path, folder: Path | None) -> Path:
    given = path.relative_to(folder) if folder is not None else path
    if SHELL_CHARACTERS.search(str(given)):
        raise EmbeddedTritonError(
            f"The embedded Triton cannot use a folder with a blank, quote or the like in its name: {path}.",
            remedy="Rename it, or keep GATEWAY_MODEL_REPOSITORY and GATEWAY_RUN_FOLDER together, under plain names.",
        )
    return given


def environment(distribution: Distribution) -> dict[str, str]:
    """The stub ignores VIRTUAL_ENV and finds its packages through the first `python3` on PATH: ours.

    GATEWAY_STUB_PREFIX lets our backend refuse to run in any other environment. No GPU is shown: what is installed here
    is the CPU build of ONNX Runtime.
    """
    return {
        **{name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ},
        "PATH": os.pathsep.join((str(Path(sys.prefix) / "bin"), "/usr/local/bin", "/usr/bin", "/bin")),
        "LD_LIBRARY_PATH": os.pathsep.join(str(folder) for folder in distribution.library_folders),
        "GATEWAY_STUB_PREFIX": sys.prefix,
        "CUDA_VISIBLE_DEVICES": "",
    }
