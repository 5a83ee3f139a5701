"""A decoding process that a file has taken over may say anything: nothing of it becomes memory or pixels here."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, cast

import numpy as np
import pytest

from gateway.images.decode_messages import Job, Outcome
from gateway.images.decode_process import DecodeProcess, ProcessLost

UNIT = 28
MOST_PIXELS = 10 * UNIT * UNIT
JOB = Job(
    format=0, content_bytes=3, most_pixels=1000, unit_pixels=UNIT, min_pixels=UNIT, max_pixels=MOST_PIXELS,
    max_aspect_ratio=200, cpu_seconds=1,
)  # fmt: skip


def reply(outcome: int, height: int, width: int) -> bytes:
    """As it lies on the wire."""
    return struct.pack("<3Q", outcome, height, width)


async def decoded_by(answer: bytes) -> tuple[Outcome, Any]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(30):
            return await DecodeProcess(cast(Any, None), ours).decode(JOB, b"abc", most_pixels=MOST_PIXELS)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(0, 11 * UNIT, UNIT), id="more pixels than there can be"),
        pytest.param(reply(0, 2**40, 2**40), id="more bytes than there are"),
        pytest.param(reply(0, 2**63, 2), id="a product beyond 64 bits"),
        pytest.param(reply(0, 0, UNIT), id="no row"),
        pytest.param(reply(0, UNIT, 0), id="no column"),
        pytest.param(reply(0, UNIT + 1, UNIT), id="a height that the model does not read"),
        pytest.param(reply(0, UNIT, UNIT - 1), id="a width that the model does not read"),
        pytest.param(reply(99, UNIT, UNIT), id="an outcome that there is none"),
        pytest.param(reply(0, UNIT, UNIT)[:-1], id="half a reply"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_a_process_that_lies_is_lost(answer: bytes) -> None:
    # So many bytes that whoever believed it would have what it asks for.
    with pytest.raises(ProcessLost):
        await decoded_by(answer + bytes(3 * 12 * UNIT * UNIT) if len(answer) == 24 else answer)


async def test_fewer_pixels_than_it_said_are_none() -> None:
    with pytest.raises(ProcessLost):
        await decoded_by(reply(0, UNIT, UNIT) + bytes(3 * UNIT * UNIT - 1))


async def test_an_honest_answer_is_taken() -> None:
    pixels = np.arange(3 * UNIT * UNIT, dtype=np.uint8)
    outcome, found = await decoded_by(reply(0, UNIT, UNIT) + pixels.tobytes())
    assert outcome is Outcome.OK
    np.testing.assert_array_equal(found, pixels.reshape(UNIT, UNIT, 3))
    outcome, found = await decoded_by(reply(Outcome.TOO_NARROW, 0, 0))
    assert (outcome, found) == (Outcome.TOO_NARROW, None)
