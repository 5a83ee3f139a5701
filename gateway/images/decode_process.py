"""One decoding process as the gateway holds it: started bare, spoken to over a socket, ended without ceremony.

Not a process pool of the standard library or of Pebble: their workers share pipes, so that one that is killed in the
middle of a message breaks all of them (tried with Pebble 5.2, 2026-11), and speak in pickles, which the gateway would
have to load from a process that a hostile file may have taken over.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from gateway.images.decode_messages import READY, REPLY_BYTES, Job, Outcome, Reply, packed_job, read_reply
from gateway.types import UInt8Array

_PACKAGE_FOLDER = str(Path(__file__).resolve().parents[2])
_PROGRAM = """\
import socket, sys
sys.path.insert(0, sys.argv[1])
from gateway.images.decode_worker import serve
serve(socket.socket(fileno=0), memory_bytes=int(sys.argv[2]))
"""
_KEPT_VARIABLES = ("LD_LIBRARY_PATH",)
_SOCKET_BUFFER_BYTES = 1024 * 1024
# From the end of its connection to its own.
_LAST_BREATH_SECONDS = 1.0


class ProcessLost(Exception):
    """The process died, was killed, or said what it cannot say."""


class DecodeProcess:
    """A running process. It decodes one file at a time."""

    def __init__(self, process: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        self.decoded = 0

    @classmethod
    async def start(cls, *, memory_bytes: int) -> DecodeProcess:
        """A process that is ready. Raises `ProcessLost` where none can be had."""
        starting = asyncio.ensure_future(asyncio.to_thread(_started, memory_bytes))
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await (await starting).end()
            raise
        except OSError:
            raise ProcessLost from None
        try:
            await process._receive(memoryview(bytearray(len(READY))))
        except BaseException:
            await process.end()
            raise
        return process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    async def decode(self, job: Job, content: bytes, *, most_pixels: int) -> tuple[Outcome, UInt8Array | None]:
        """What became of the file, with the pixels, uint8 [height, width, 3], where it could be decoded. `most_pixels`
        is the most that they can be. Raises `ProcessLost`."""
        self.decoded += 1
        try:
            return await self._exchange(job, content, most_pixels)
        except (OSError, ValueError):
            raise ProcessLost from None

    async def _exchange(self, job: Job, content: bytes, most_pixels: int) -> tuple[Outcome, UInt8Array | None]:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._channel, packed_job(job))
        await loop.sock_sendall(self._channel, content)
        header = bytearray(REPLY_BYTES)
        await self._receive(memoryview(header))
        reply = read_reply(bytes(header))
        outcome = Outcome(reply.outcome)
        if outcome is not Outcome.OK:
            return outcome, None
        _check_size(reply, job, most_pixels)
        pixels = np.empty((reply.height, reply.width, 3), np.uint8)
        await self._receive(pixels.reshape(-1).data)
        return outcome, pixels

    async def _receive(self, view: memoryview) -> None:
        loop = asyncio.get_running_loop()
        while view:
            try:
                received = await loop.sock_recv_into(self._channel, view)
            except OSError:
                raise ProcessLost from None
            if not received:
                raise ProcessLost
            view = view[received:]

    async def was_killed(self) -> bool:
        """Whether a process that is lost was ended from outside: by a person, or by a system that is short of memory.
        A file that exceeds this process's own limits ends it in other ways."""
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, _LAST_BREATH_SECONDS)
        return self._process.returncode == -signal.SIGKILL

    async def end(self) -> None:
        """Kills it and waits until the system has it no more."""
        self._channel.close()
        self._process.kill()
        await asyncio.to_thread(self._process.wait)


def _check_size(reply: Reply, job: Job, most_pixels: int) -> None:
    """A process that says otherwise is not believed: its word would be this one's memory."""
    if not 0 < reply.height * reply.width <= most_pixels:
        raise ProcessLost
    if reply.height % job.unit_pixels or reply.width % job.unit_pixels:
        raise ProcessLost


def _started(memory_bytes: int) -> DecodeProcess:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
    ours.setblocking(False)
    command = [sys.executable, "-I", "-c", _PROGRAM, _PACKAGE_FOLDER, str(memory_bytes)]
    # Of the gateway's environment, which holds its secrets, only what a shared Python may need to be found.
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    quiet = subprocess.DEVNULL  # what a library complains of may hold parts of the file
    try:
        with theirs:
            process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=quiet, stderr=quiet, env=environment)
    except BaseException:
        ours.close()
        raise
    return DecodeProcess(process, ours)
