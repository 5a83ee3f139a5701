"""The options of `gateway bench`, how NAME=VALUE is read, and the check at the start that files can be written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from gateway.bench.workloads import Workload
from gateway.errors import ConfigurationError
from gateway.types import Precision

REPEATS, QUICK_REPEATS = 5, 2
SECONDS, QUICK_SECONDS = 4.0, 1.0

WorkloadOption = Annotated[
    list[Workload] | None,
    typer.Option(metavar="WORKLOAD", help="Measure this one; may be repeated (default: all but the long ones)"),
]
RepeatsOption = Annotated[
    int | None,
    typer.Option(metavar="COUNT", min=1, max=100, help=f"Repeats (default: {REPEATS}, with --quick {QUICK_REPEATS})"),
]
SecondsOption = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0.05,
        max=600,
        help=f"Length of each measurement (default: {SECONDS:g}, with --quick {QUICK_SECONDS:g})",
    ),
]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="Few and short measurements, small requests: nothing to quote.")
]
ModelOption = Annotated[str, typer.Option(metavar="NAME", help="Model to measure.")]
UrlOption = Annotated[
    str | None, typer.Option(metavar="URL", help="A gateway that runs already (default: one is started for the run)")
]
TritonOption = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Triton's gRPC address behind --url, for direct calls.")
]
AgainstOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=URL", help="Another server with OpenAI's embeddings API; may be repeated."),
]
ModelOfOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=MODEL",
        help="What that server calls the model (default: its name on the hub). NAME may be gateway.",
    ),
]
KeyOfOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VARIABLE", help="Environment variable with that server's key. NAME may be gateway."),
]
ToleranceOption = Annotated[
    float,
    typer.Option(metavar="DIFFERENCE", min=0, help="Largest difference to the ceiling's vectors in a run that counts."),
]
VariantOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VARIABLE=VALUE",
        help="A second stack with this setting, as gateway-NAME; may be repeated, the same NAME for another setting.",
    ),
]
PrecisionOption = Annotated[
    Precision | None,
    typer.Option(help="GATEWAY_PRECISION of the measured gateway; with fast its vectors are judged by their cosine."),
]
SoakOption = Annotated[
    float | None,
    typer.Option(metavar="MINUTES", min=0.05, max=600, help="Length of the workload soak (default: 10, --quick 1/6)"),
]
LimitOption = Annotated[float, typer.Option(metavar="MINUTES", min=0.1, help="What has not begun by then is left out.")]
JsonFileOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write every figure here.")]
HtmlFileOption = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with charts here.")]


def pairs(given: Sequence[str] | None, *, option: str, value: str) -> dict[str, str]:
    """NAME=VALUE by name. Raises `ConfigurationError` for anything else, and for a name that is given twice."""
    found: dict[str, str] = {}
    for one in given or ():
        name, sign, rest = one.partition("=")
        if not (name and sign and rest):
            raise ConfigurationError(f"{option} was given without a name.", remedy=f"Write {option} NAME={value}.")
        if name in found:
            raise ConfigurationError(f"{option} names {name} twice.", remedy="Give each server a name of its own.")
        found[name] = rest
    return found


def variants(given: Sequence[str] | None) -> dict[str, dict[str, str]]:
    """Settings by name out of NAME=VARIABLE=VALUE. Raises `ConfigurationError` for anything else."""
    found: dict[str, dict[str, str]] = {}
    for one in given or ():
        name, _, setting = one.partition("=")
        variable, sign, value = setting.partition("=")
        if not (name and sign and variable.startswith("GATEWAY_")):
            raise ConfigurationError(
                "--variant was given without a name and a setting.",
                remedy="Write --variant NAME=GATEWAY_SETTING=VALUE.",
            )
        found.setdefault(name, {})[variable] = value
    return found


def keys_of(variables: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Each server's key, out of the variable named for it. Raises `ConfigurationError` for one that is not set."""
    for name, variable in variables.items():
        if not environment.get(variable):
            raise ConfigurationError(
                f"--key-of names the variable {variable} for {name}, and that is not set.",
                remedy="Keys are read from the environment, so that no list of processes shows them.",
            )
    return {name: environment[variable] for name, variable in variables.items()}


def prepare_files(files: Sequence[Path | None]) -> None:
    """Makes the folders of those that are given. Raises `ConfigurationError` where one could not be written."""
    for file in files:
        if file is None:
            continue
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            is_new = not file.exists()
            file.open("a").close()
            if is_new:
                file.unlink()
        except OSError as error:
            raise ConfigurationError(f"{file} cannot be written: {error.strerror or error}.") from None
