"""One life of tritonserver: started under its warden, waited for, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from gateway.errors import EmbeddedTritonError
from gateway.triton.embedded import warden

WARDEN = Path(warden.__file__)
STOP_SECONDS = warden.KILL_SECONDS + 2.0


class ServerProcess:
    """A running tritonserver and the warden that watches over it."""

    def __init__(self, process: asyncio.subprocess.Process, *, pid: int) -> None:
        self._warden = process
        self.pid = pid
        self._ended = asyncio.create_task(self._until_ended(), name="embedded-triton-ended")

    @property
    def warden_pid(self) -> int:
        return self._warden.pid

    @property
    def running(self) -> bool:
        return self._warden.returncode is None

    @classmethod
    async def start(
        cls, command: Sequence[str], *, folder: Path | None, environment: Mapping[str, str], log: Path
    ) -> ServerProcess:
        """Start the warden, which starts the server, in `folder` where one is given.

        The log starts afresh; the previous one is kept beside it.
        """
        with fresh_log(log) as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(WARDEN), "--parent", str(os.getpid()), "--", *command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        try:
            message = await next_message(process)
        except asyncio.CancelledError:
            await asyncio.shield(dismiss(process))
            raise
        if message.get("event") != "started":
            await process.wait()
            reason = message.get("reason", f"exit code {process.returncode}")
            raise EmbeddedTritonError(f"tritonserver could not be started: {reason}.", remedy=f"See {log}.")
        return cls(process, pid=int(str(message["pid"])))

    async def ended(self) -> str:
        """Wait until the server is gone for whatever reason; says which, in words. May be awaited more than once."""
        return await asyncio.shield(self._ended)

    async def _until_ended(self) -> str:
        message = await next_message(self._warden)
        await self._warden.wait()
        if message.get("event") == "ended":
            return in_words(int(str(message["returncode"])))
        if self._warden.returncode == warden.EXIT_STOPPED:
            return "it was stopped"
        await self._clean_up_after_warden()
        return "its warden was killed"

    async def stop(self) -> None:
        """End the server and all that belongs to it, within `STOP_SECONDS` whatever state it is in."""
        close_lifeline(self._warden)
        await asyncio.wait({self._ended}, timeout=STOP_SECONDS)
        if self.running:
            self._warden.kill()
        await self.ended()

    async def _clean_up_after_warden(self) -> None:
        """A killed warden takes the server with it through the kernel, but its stubs and segments are left to us."""
        for _ in range(100):
            if not (members := members_of_session(self.pid)):
                break
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.02)
        warden.sweep_dead_owners()


def close_lifeline(process: asyncio.subprocess.Process) -> None:
    """The warden reads the end of its standard input as the order to stop."""
    if process.stdin is not None:
        process.stdin.close()


async def dismiss(process: asyncio.subprocess.Process) -> None:
    """End a warden whose server nobody waits for any more."""
    close_lifeline(process)
    await process.wait()


def fresh_log(log: Path) -> BinaryIO:
    """The log, empty and open for writing; the one before it is kept beside it."""
    if log.exists():
        log.replace(log.with_suffix(log.suffix + ".1"))
    return log.open("wb")


async def next_message(process: asyncio.subprocess.Process) -> dict[str, object]:
    """The warden's next JSON line; empty where it ended without one."""
    line = await process.stdout.readline() if process.stdout is not None else b""
    message: dict[str, object] = json.loads(line) if line else {}
    return message


def members_of_session(session: int) -> list[int]:
    """Living processes of the session that the server leads; zombies are already dead."""
    table = warden.process_table()
    return [pid for pid, fields in table if fields[3] == str(session) and fields[0] not in warden.DEAD_STATES]


def in_words(returncode: int) -> str:
    if returncode < 0:
        return f"it was ended by signal {signal.Signals(-returncode).name}"
    return f"it exited with code {returncode}"
