"""One `gateway up` a run folder: a lock that dies with its holder, and a small file for scripts that stop it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gateway.errors import SetupError
from gateway.triton.embedded.warden import start_ticks_of

LOCK_NAME = "up.lock"
RUN_FILE_NAME = "up.json"


@contextlib.contextmanager
def sole_run(run_folder: Path) -> Iterator[Path]:
    """Hold the run folder; gives the run file's path.

    Raises `SetupError` where another `gateway up` holds it, or where it cannot be written to. The kernel drops the lock
    with the process, however it ends, so no stale lock ever has to be removed by hand.
    """
    run_file = run_folder / RUN_FILE_NAME
    lock = FileLock(run_folder / LOCK_NAME)
    try:
        run_folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
        draft_of(run_file).touch()
    except Timeout:
        raise already_running(run_file) from None
    except OSError as error:
        lock.release()
        raise unwritable(run_folder, error) from None
    try:
        yield run_file
    finally:
        run_file.unlink(missing_ok=True)
        draft_of(run_file).unlink(missing_ok=True)
        lock.release()


def already_running(run_file: Path) -> SetupError:
    known = read(run_file)
    where = f" as process {known['pid']}, {known['url']}" if known else ""
    stop = f"kill {known['pid']}" if known else "Wait for it, or stop it"
    return SetupError(
        f"A gateway already runs from {run_file.parent}{where}.",
        remedy=f"Use that one, or end it: {stop}. GATEWAY_RUN_FOLDER names another folder for a second one.",
        code="already_running",
    )


def unwritable(run_folder: Path, error: OSError) -> SetupError:
    return SetupError(
        f"The run folder {run_folder.absolute()} cannot be written to: {error.strerror or error}.",
        remedy="Mend its rights, or set GATEWAY_RUN_FOLDER to a folder that can be written to.",
        code="run_folder_unwritable",
    )


def draft_of(run_file: Path) -> Path:
    return run_file.with_suffix(".new")


def write(run_file: Path, *, url: str, ports: Mapping[str, int], models: tuple[str, ...]) -> None:
    """Atomic, so that a script never reads half a file. `pid` is ours: SIGTERM to it stops everything.

    `start_ticks` tells this process apart from a later one with the same pid.
    """
    pid = os.getpid()
    content = {"pid": pid, "start_ticks": start_ticks_of(pid), "url": url, "ports": dict(ports), "models": list(models)}
    draft = draft_of(run_file)
    draft.write_text(json.dumps(content, indent=2) + "\n")
    draft.replace(run_file)


def is_running(record: Mapping[str, Any]) -> bool:
    """Whether the process that wrote this record still lives."""
    return bool(record) and start_ticks_of(record["pid"]) == record["start_ticks"]


def read(run_file: Path) -> dict[str, Any]:
    """The run file's content, empty where there is none yet."""
    try:
        content: dict[str, Any] = json.loads(run_file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content
