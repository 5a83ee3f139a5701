"""The command line and the environment that tritonserver is started with here."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.errors import EmbeddedTritonError
from gateway.triton.embedded.distribution import Distribution
from gateway.triton.embedded.model_configs import has_python_models, need_auto_completion
from gateway.triton.embedded.ports import LOOPBACK, Ports
from gateway.triton.embedded.python_models import (
    PythonModelSettings,
    backend_options,
    stub_environment,
    torch_computes_on_gpus,
    usable_cores,
)

# All that passes from our environment: keys and hub tokens have no business in Triton, and PYTHONHOME breaks a stub.
PASSED_VARIABLES = ("HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")

# Which GPUs there are, and in which order they are counted.
GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES")

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
        *(backend_options() if has_python_models(repository, models) else ()),
        "--exit-on-error=false",
        f"--grpc-address={LOOPBACK}",
        f"--grpc-port={ports.grpc}",
        f"--http-address={LOOPBACK}",
        f"--http-port={ports.http}",
        f"--metrics-address={LOOPBACK}",
        f"--metrics-port={ports.metrics}",
        *(() if distribution.is_installed_apart else ("--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0")),
        "--log-format=ISO8601",
    ]


def plain(path: Path, folder: Path | None) -> Path:
    given = path.relative_to(folder) if folder is not None and path.is_relative_to(folder) else path
    if SHELL_CHARACTERS.search(str(given)):
        raise EmbeddedTritonError(
            f"The embedded Triton cannot use a folder with a blank, quote or the like in its name: {path}.",
            remedy="Rename it, or keep GATEWAY_MODEL_REPOSITORY and GATEWAY_RUN_FOLDER together, under plain names.",
        )
    return given


def environment(
    distribution: Distribution, *, settings: PythonModelSettings, has_python_models: bool
) -> dict[str, str]:
    """The stub ignores VIRTUAL_ENV and finds its packages through the first `python3` on PATH: ours.

    GATEWAY_STUB_PREFIX lets our backend refuse to run in any other environment; GATEWAY_USABLE_CORES tells it how many
    calls to compute at once, as a container's share of time is not seen in the number of cores.
    """
    libraries = [str(folder) for folder in distribution.library_folders]
    shown = sees_gpus(distribution, has_python_models=has_python_models)
    if shown and (own := os.environ.get("LD_LIBRARY_PATH")):
        libraries.append(own)  # where containers mount the driver
    return {
        **passed_on(PASSED_VARIABLES),
        **(passed_on(GPU_VARIABLES) if shown else {"CUDA_VISIBLE_DEVICES": ""}),
        **(stub_environment(settings) if has_python_models else {}),
        "PATH": os.pathsep.join((str(Path(sys.prefix) / "bin"), "/usr/local/bin", "/usr/bin", "/bin")),
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        "GATEWAY_STUB_PREFIX": sys.prefix,
        "GATEWAY_USABLE_CORES": str(usable_cores()),
    }


def sees_gpus(distribution: Distribution, *, has_python_models: bool) -> bool:
    """Whether anything in there would compute on one. The ONNX Runtime that is installed here is its build for CPU, and
    Triton starts one process of it for every GPU that it sees.
    """
    return distribution.is_installed_apart or (has_python_models and torch_computes_on_gpus())


def passed_on(names: Sequence[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}
