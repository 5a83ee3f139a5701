"""What the gateway and a decoding process say to each other: numbers and bytes, so that neither has to trust the other
to be deserialised."""

from __future__ import annotations

import socket
import struct
from dataclasses import astuple, dataclass
from enum import IntEnum

from gateway.images.headers import ImageFormat


class Outcome(IntEnum):
    """What became of a file. All but OK are the file's own fault."""

    OK = 0
    UNREADABLE = 1
    TOO_MANY_PIXELS = 2
    SEVERAL_FRAMES = 3
    TOO_NARROW = 4


@dataclass(frozen=True, slots=True)
class Job:
    """One file to decode. Its `content_bytes` bytes follow.

    `most_pixels` bounds what is decoded; the next four are of the model's `ImageSpec`; `cpu_seconds` is what it may
    take.
    """

    format: int
    content_bytes: int
    most_pixels: int
    unit_pixels: int
    min_pixels: int
    max_pixels: int
    max_aspect_ratio: int
    cpu_seconds: int


@dataclass(frozen=True, slots=True)
class Reply:
    """`height` * `width` * 3 bytes follow, RGB row by row, where the outcome is OK."""

    outcome: int
    height: int
    width: int


_JOB = struct.Struct("<8Q")
_REPLY = struct.Struct("<3Q")
REPLY_BYTES = _REPLY.size

# What a process sends first, once it is ready.
READY = b"R"

# By place, so that a job holds numbers alone.
FORMATS = tuple(ImageFormat)


def packed_job(job: Job) -> bytes:
    return _JOB.pack(*astuple(job))


def packed_reply(reply: Reply) -> bytes:
    return _REPLY.pack(*astuple(reply))


def read_reply(header: bytes) -> Reply:
    return Reply(*_REPLY.unpack(header))


def receive_job(channel: socket.socket) -> tuple[Job, bytearray] | None:
    """The next job and its file, or None once the gateway is gone."""
    header = _receive(channel, _JOB.size)
    if header is None:
        return None
    job = Job(*_JOB.unpack(header))
    content = _receive(channel, job.content_bytes)
    return None if content is None else (job, content)


def _receive(channel: socket.socket, count: int) -> bytearray | None:
    buffer = bytearray(count)
    view = memoryview(buffer)
    while view:
        received = channel.recv_into(view)
        if not received:
            return None
        view = view[received:]
    return buffer
