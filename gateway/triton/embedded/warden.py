"""Starts tritonserver and outlives it, so that nothing of it is left behind however its user ends.

A gateway that is killed cannot clean up. This process can: it notices that its parent is gone, ends the server and the
stub processes, and unlinks their shared memory. It is run by path, isolated and without site-packages
(`python -I -S warden.py`), so it starts in milliseconds and nothing but the standard library can break it.

Own code because no init or supervisor in the field sweeps shared memory or follows its parent's death.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

SHARED_MEMORY = Path("/dev/shm")
PREFIX = "gateway-triton"

# At a start tritonserver makes an empty folder here, and takes it away again only when it ends by itself.
TEMPORARY = Path("/tmp")
SERVER_FOLDER_PATTERN = "python_env_*"
SERVER_FOLDER_WINDOW_SECONDS = 5.0

KILL_SECONDS = 3.0

DEAD_STATES = ("Z", "X")

EXIT_STOPPED = 0
EXIT_SERVER_ENDED = 10
EXIT_NOT_STARTED = 11


@dataclass(frozen=True)
class Owner:
    """A process, told apart from a later one with the same pid by its start time and its pid namespace."""

    pid: int
    start_ticks: int
    namespace: str

    @property
    def prefix(self) -> str:
        return f"{PREFIX}-{self.namespace}-{self.pid}-{self.start_ticks}-"

    def is_alive(self) -> bool:
        return start_ticks_of(self.pid) == self.start_ticks


def main() -> int:
    arguments = parse_arguments()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    stop = StopRequest(parent=arguments.parent)
    owner = Owner(os.getpid(), start_ticks_of(os.getpid()) or 0, pid_namespace())
    sweep_dead_owners()
    begin = time.time()
    try:
        server = start_server([*arguments.command, shared_memory_option(owner)])
    except OSError as error:
        say(event="not-started", reason=error.strerror or type(error).__name__)
        return EXIT_NOT_STARTED
    say(event="started", pid=server.pid)
    try:
        asked = stop.wait(server)
    finally:
        end(server)
        sweep(owner.prefix)
        remove_server_folder(begin)
    if asked:
        return EXIT_STOPPED
    say(event="ended", returncode=server.returncode)
    return EXIT_SERVER_ENDED


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="warden", description="Runs a command; cleans up after it and its parent.")
    parser.add_argument("--parent", type=int, required=True, help="pid whose end stops the command")
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


class StopRequest:
    """Everything that means "stop": the parent's end, the end of standard input, SIGTERM, SIGINT, SIGHUP."""

    def __init__(self, *, parent: int) -> None:
        self._woken, wake = os.pipe()
        for end_of_pipe in (self._woken, wake):
            os.set_blocking(end_of_pipe, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        self._parent = open_process(parent)

    def wait(self, server: subprocess.Popen[bytes]) -> bool:
        """Block until a stop is asked for (True) or the server has ended by itself (False)."""
        ended = os.pidfd_open(server.pid)
        poll = select.poll()
        for descriptor in (sys.stdin.fileno(), self._woken, self._parent, ended):
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if ready != {sys.stdin.fileno()}:
                return ready != {ended}
            if not os.read(sys.stdin.fileno(), 1024):
                return True


def open_process(parent: int) -> int:
    """A descriptor that becomes readable when the parent ends. A parent that ended already is a stop at once."""
    try:
        descriptor = os.pidfd_open(parent)
    except ProcessLookupError:
        sys.exit(EXIT_STOPPED)
    if os.getppid() != parent:
        sys.exit(EXIT_STOPPED)
    return descriptor


def start_server(command: list[str]) -> subprocess.Popen[bytes]:
    """The server in a session of its own, out of reach of the terminal's Ctrl-C, and killed if this process is."""
    warden = os.getpid()

    def die_with_the_warden() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != warden:
            os._exit(1)

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        stderr=sys.stderr.fileno(),
        start_new_session=True,
        preexec_fn=die_with_the_warden,
    )


def shared_memory_option(owner: Owner) -> str:
    return f"--backend-config=python,shm-region-prefix-name={owner.prefix}"


def end(server: subprocess.Popen[bytes]) -> None:
    """Kill the server and every process it left behind; orphans come to us as their subreaper.

    Not politely: SIGTERM takes it 2.4 s, and half a minute when a stub is dead, to save nothing that anybody needs.
    """
    server.kill()
    server.wait()
    deadline = time.monotonic() + KILL_SECONDS
    while (orphans := children()) and time.monotonic() < deadline:
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        reap()
        time.sleep(0.01)


def reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def children() -> list[int]:
    own = str(os.getpid())
    return [pid for pid, fields in process_table() if fields[1] == own]


def process_table() -> Iterator[tuple[int, list[str]]]:
    """Every process's pid and the fields of its /proc stat line from the third (state) on."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := stat_fields(int(folder.name))):
            yield int(folder.name), fields


def stat_fields(pid: int) -> list[str]:
    """Fields from the third on; the second, the name, may hold blanks and brackets. Empty where there is none."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return line.rpartition(")")[2].split()


def start_ticks_of(pid: int) -> int | None:
    """When a living process was started, in clock ticks since boot; None where there is none, or only its zombie."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields and fields[0] not in DEAD_STATES else None


def pid_namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink()).strip("pid:[]")


def sweep(prefix: str) -> None:
    for segment in SHARED_MEMORY.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            segment.unlink()


def remove_server_folder(begin: float) -> None:
    """Remove the one empty folder that was made while our server started. Two may be two servers': both stay."""
    candidates = []
    for folder in TEMPORARY.glob(SERVER_FOLDER_PATTERN):
        with contextlib.suppress(OSError):
            status = folder.stat()
            age = status.st_ctime - begin
            if status.st_uid == os.getuid() and -0.1 <= age <= SERVER_FOLDER_WINDOW_SECONDS:
                candidates.append(folder)
    if len(candidates) == 1:
        with contextlib.suppress(OSError):
            candidates[0].rmdir()


def sweep_dead_owners() -> None:
    """Unlink segments of wardens that were killed before they could; those of other pid namespaces stay."""
    for prefix in {owner.prefix for owner in owners() if owner.namespace == pid_namespace() and not owner.is_alive()}:
        sweep(prefix)


def owners() -> Iterator[Owner]:
    for segment in SHARED_MEMORY.glob(f"{PREFIX}-*"):
        namespace, _, rest = segment.name.removeprefix(f"{PREFIX}-").partition("-")
        pid, _, rest = rest.partition("-")
        ticks = rest.partition("-")[0]
        if pid.isdigit() and ticks.isdigit():
            yield Owner(int(pid), int(ticks), namespace)


def prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def say(**message: object) -> None:
    """One JSON line for the parent, which may be gone."""
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), (json.dumps(message) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main())
