"""Decoding in processes of their own, a few at a time, each replaced when it is lost or has done its share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from gateway.cards.schema import ImageSpec
from gateway.errors import EngineUnavailable, NotServing
from gateway.images.decode_messages import FORMATS, Job, Outcome
from gateway.images.decode_process import DecodeProcess, ProcessLost
from gateway.images.headers import image_format, is_pdf
from gateway.images.refusals import UnusableImage
from gateway.images.sizes import most_pixels
from gateway.telemetry.metrics import ImageRefusal
from gateway.types import UInt8Array

# A process is replaced after so many files, so that nothing that a library leaks can add up.
_MOST_DECODED = 1000

# Honest files of 20 megapixels took 1.2 s (JPEG) to 2.6 s (PNG, progressive JPEG) on a busy Zen 5 core, 2026-11.
_CPU_SECONDS = 6
# For a process that does not even get to spend those.
_WALL_SECONDS = 60.0

# Python and Pillow take 50 MB of address space. A pixel takes up to 4 bytes as decoded, 4 as RGB, 8 in a WebP
# canvas and 6 as the coefficients of a progressive JPEG.
_BASE_MEMORY_BYTES = 256 * 1024 * 1024
_BYTES_A_PIXEL = 24


class UndecodableImage(UnusableImage):
    """A file that no pixels can be made of."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """`workers` is how many processes there are, the rest is about one file."""

    max_bytes: int
    max_pixels: int
    workers: int

    @property
    def memory_bytes(self) -> int:
        return _BASE_MEMORY_BYTES + 4 * self.max_bytes + _BYTES_A_PIXEL * self.max_pixels


class ImageDecoder:
    """Decodes files, first come, first served. Processes start with the first file."""

    def __init__(
        self,
        limits: DecodeLimits,
        *,
        cpu_seconds: int = _CPU_SECONDS,
        wall_seconds: float = _WALL_SECONDS,
        most_decoded: int = _MOST_DECODED,
    ) -> None:
        self._limits = limits
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds
        self._most_decoded = most_decoded
        self._free = asyncio.Semaphore(limits.workers)
        self._idle: list[DecodeProcess] = []
        self._all: set[DecodeProcess] = set()
        self._running: set[asyncio.Task[UInt8Array]] = set()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self._all]

    async def decode(self, content: bytes, spec: ImageSpec) -> UInt8Array:
        """The image as the model reads it: uint8 [height, width, 3], RGB, resized to multiples of `unit_pixels`.

        Raises `UndecodableImage`, and `NotServing` where the process was killed at it. A caller that is cancelled
        leaves the process to finish the file it is at.
        """
        job = self._job(content, spec)
        await self._free.acquire()
        if self._closed:
            self._free.release()
            raise EngineUnavailable("The gateway is shutting down.")
        running = asyncio.create_task(self._decode(job, content, most_pixels(spec)))
        self._running.add(running)
        running.add_done_callback(self._finished)
        return await asyncio.shield(running)

    async def close(self) -> None:
        """Ends all processes; what they were at fails."""
        self._closed = True
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await asyncio.gather(*map(self._end, list(self._all)))

    def _job(self, content: bytes, spec: ImageSpec) -> Job:
        found = image_format(content)
        if found is None:
            raise UndecodableImage(_PDF if is_pdf(content) else _NO_IMAGE, refusal=ImageRefusal.FORMAT)
        return Job(
            format=FORMATS.index(found),
            content_bytes=len(content),
            most_pixels=self._limits.max_pixels,
            unit_pixels=spec.unit_pixels,
            min_pixels=spec.min_pixels,
            max_pixels=spec.max_pixels,
            max_aspect_ratio=spec.max_aspect_ratio,
            cpu_seconds=self._cpu_seconds,
        )

    def _finished(self, running: asyncio.Task[UInt8Array]) -> None:
        self._running.discard(running)
        self._free.release()
        if not running.cancelled():
            running.exception()  # seen, where the caller has gone

    async def _decode(self, job: Job, content: bytes, most: int) -> UInt8Array:
        process = await self._process()
        try:
            async with asyncio.timeout(self._wall_seconds):
                outcome, pixels = await process.decode(job, content, most_pixels=most)
        except (ProcessLost, TimeoutError) as failure:
            was_killed = isinstance(failure, ProcessLost) and await process.was_killed()
            await self._end(process)
            if was_killed:  # not the file's fault, so nobody is told to send another one
                raise NotServing("The process that decoded an image was ended. Please try again shortly.") from None
            raise UndecodableImage(_NOT_IN_TIME, refusal=ImageRefusal.DECODING_LIMITS) from None
        except BaseException:
            await self._end(process)
            raise
        if process.decoded >= self._most_decoded:
            await self._end(process)
        else:
            self._idle.append(process)
        if pixels is None:
            raise UndecodableImage(_reason(outcome, job), refusal=_REFUSALS[outcome])
        return pixels

    async def _process(self) -> DecodeProcess:
        while self._idle:
            process = self._idle.pop()
            if process.is_alive:
                return process
            await self._end(process)
        try:
            process = await DecodeProcess.start(memory_bytes=self._limits.memory_bytes)
        except ProcessLost:
            raise EngineUnavailable("The process that decodes images could not be started.") from None
        self._all.add(process)
        return process

    async def _end(self, process: DecodeProcess) -> None:
        self._all.discard(process)
        with suppress(ProcessLookupError):
            await process.end()


def _reason(outcome: Outcome, job: Job) -> str:
    if outcome is Outcome.TOO_MANY_PIXELS:
        return f"is an image of more than {job.most_pixels} pixels, the most that is read here. Send a smaller one"
    if outcome is Outcome.TOO_NARROW:
        return (
            f"is an image whose longer side is more than {job.max_aspect_ratio} times its shorter one, which the model "
            "cannot read"
        )
    return _REASONS[outcome]


_NO_IMAGE = "is not a JPEG, PNG or WebP file, the formats that images are read in"
_PDF = "is a PDF file, which is not read here. Send each page as an image"
_NOT_IN_TIME = "is an image that takes too much time or memory to decode"
_REFUSALS: Mapping[Outcome, ImageRefusal] = {
    Outcome.UNREADABLE: ImageRefusal.UNREADABLE,
    Outcome.TOO_MANY_PIXELS: ImageRefusal.TOO_LARGE,
    Outcome.SEVERAL_FRAMES: ImageRefusal.FORMAT,
    Outcome.TOO_NARROW: ImageRefusal.FORMAT,
}
_REASONS: Mapping[Outcome, str] = {
    Outcome.UNREADABLE: "is an image file that is damaged or cannot be decoded",
    Outcome.SEVERAL_FRAMES: "is an image of several frames. Send one frame as a still image",
}
