"""The single checks of `gateway doctor`: each gives a finding and, where that is a fault, the command that mends it."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from gateway.artifacts.completeness import has_files, is_complete
from gateway.cards.registry import Registry
from gateway.cards.schema import Card, Model
from gateway.cli import run_file
from gateway.cli.fast_models import precision_checks
from gateway.cli.health_check import Check
from gateway.cli.port_choice import PORT_OPTIONS, host_of
from gateway.cli.torch_checks import torch_checks
from gateway.cli.torch_presence import INSTALL, can_run
from gateway.errors import ConfigurationError, SetupError
from gateway.settings import Settings
from gateway.triton.embedded import distribution, installed_server
from gateway.triton.embedded.ports import check_free

MEBIBYTE = 1024 * 1024
# MiniLM's weights, its graph, a copy of the backend, and a log: a first start takes about 0.2 GiB.
LEAST_DISK_MIB = 512
# tritonserver, one stub with MiniLM, the gateway: about 0.5 GiB together.
LEAST_MEMORY_MIB = 1024
# Docker's default is 64 MiB; every stub takes 1 MiB and grows with the largest call.
LEAST_SHARED_MEMORY_MIB = 64


def all_checks(settings: Settings) -> list[Check]:
    return [
        *machine_checks(settings),
        *embedded_checks(settings.triton_home),
        *port_checks(settings),
        *model_checks(settings),
        *precision_checks(settings, complete_cards(settings)),
    ]


def machine_checks(settings: Settings) -> list[Check]:
    return [
        check_disk(settings.model_repository),
        check_memory(),
        check_shared_memory(),
    ]


def check_disk(folder: Path) -> Check:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free // MEBIBYTE
    return enough("disk", free, LEAST_DISK_MIB, what=f"free at {existing}", remedy=f"Free space on {existing}.")


def check_memory() -> Check:
    available = psutil.virtual_memory().available // MEBIBYTE
    return enough("memory", available, LEAST_MEMORY_MIB, what="available", remedy="End other programs, or add memory.")


def check_shared_memory() -> Check:
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Check("/dev/shm", ok=False, finding="missing", remedy="sudo mount -t tmpfs tmpfs /dev/shm")
    free = shutil.disk_usage(folder).free // MEBIBYTE
    remedy = "sudo mount -o remount,size=1G /dev/shm (in Docker: --shm-size=1g)"
    return enough("/dev/shm", free, LEAST_SHARED_MEMORY_MIB - 1, what="free", remedy=remedy)


def enough(name: str, found_mib: int, needed_mib: int, *, what: str, remedy: str) -> Check:
    ok = found_mib >= needed_mib
    finding = f"{found_mib} MiB {what}" + ("" if ok else f", {needed_mib} MiB needed")
    return Check(name, ok=ok, finding=finding, remedy=None if ok else remedy)


def embedded_checks(home: Path | None = None) -> list[Check]:
    """Of the wheel's Triton, or of the one in `home`, which brings most of its own."""
    if home is not None:
        return [judged("tritonserver", lambda: installed_server.locate(home), f"in {home}")]
    return [
        judged("platform", distribution.check_platform, f"{platform.system()} {platform.machine()}"),
        judged("Python", distribution.check_python, platform.python_version()),
        judged("glibc", distribution.check_glibc, " ".join(platform.libc_ver())),
        judged("libpython", distribution.find_libpython, f"libpython{distribution.python_version()}.so.1.0 found"),
        judged("NumPy", distribution.check_numpy, version_of("numpy")),
        judged("tritonserver", distribution.locate, f"nvidia-pytriton {version_of('nvidia-pytriton')}"),
    ]


def judged(name: str, check: Callable[[], object], finding: str) -> Check:
    try:
        check()
    except SetupError as error:
        return Check(name, ok=False, finding=error.message, remedy=error.remedy)
    return Check(name, ok=True, finding=finding)


def version_of(project: str) -> str:
    try:
        return importlib.metadata.version(project)
    except importlib.metadata.PackageNotFoundError:
        return "is not installed"


def port_checks(settings: Settings) -> list[Check]:
    """Ports that our own running gateway holds are as they should be."""
    own = run_file.read(settings.run_folder / run_file.RUN_FILE_NAME)
    held = set(own["ports"].values()) if run_file.is_running(own) else set()
    checks = []
    for name, purpose, option in PORT_OPTIONS:
        port = int(getattr(settings, name))
        if port in held:
            checks.append(Check(f"port {port}", ok=True, finding=f"{purpose}: in use by the running gateway"))
            continue
        host = host_of(name, settings.host)

        def free(port: int = port, purpose: str = purpose, option: str = option, host: str = host) -> None:
            check_free(port, purpose=purpose, option=option, host=host)

        checks.append(judged(f"port {port}", free, f"{purpose}: free"))
    return checks


def model_checks(settings: Settings) -> list[Check]:
    """One complete model is enough to start with; an incomplete one beside it is mentioned, not a fault. So is torch
    where no model would be served that needs it."""
    try:
        models = Registry.from_repository(settings.model_repository).models
    except ConfigurationError as error:
        return [Check("models", ok=False, finding=error.message, remedy=error.remedy)]
    complete = {card.name: card for model in models for card in model.cards if is_complete(card)}
    is_start_possible = any(map(can_run, complete.values()))
    checks = [check_model(model, complete, is_start_possible=is_start_possible) for model in models]
    if any(not card.triton.has_graph for model in models for card in model.cards):
        coded = [card for card in complete.values() if not card.triton.has_graph]
        checks += torch_checks(coded, dtype=settings.dtype, is_start_possible=is_start_possible)
    return checks or [Check("models", ok=False, finding=f"no model card in {settings.model_repository}")]


def complete_cards(settings: Settings) -> list[Card]:
    """None where the cards cannot be read, which is told apart."""
    try:
        cards = Registry.from_repository(settings.model_repository).cards
    except ConfigurationError:
        return []
    return [card for card in cards if is_complete(card)]


def check_model(model: Model, complete: Mapping[str, Card], *, is_start_possible: bool) -> Check:
    name, absent = f"model {model.name}", [card.name for card in model.cards if card.name not in complete]
    if not absent and not can_run(model.card):
        return Check(name, ok=is_start_possible, finding="files complete, without torch not served", remedy=INSTALL)
    if not absent:
        return Check(name, ok=True, finding="files complete")
    if len(absent) < len(model.cards):
        finding = f"served in part, without {', '.join(absent)}"
    else:
        finding = "files not complete" if any(map(has_files, model.cards)) else "not installed"
    return Check(name, ok=is_start_possible, finding=finding, remedy=f"gateway models pull {model.name}")
