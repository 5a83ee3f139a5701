"""A request's images, from wherever they are to the pixels that the model reads, under the bounds that all requests
share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from gateway.cards.schema import ImageSpec
from gateway.errors import DeadlineExceeded, InvalidImage, Overloaded, TokenLimitExceeded
from gateway.images.decoding import DecodeLimits, ImageDecoder, UndecodableImage
from gateway.images.encoded import decode_image, is_data_uri
from gateway.images.fair_slots import FairSlots, Turns
from gateway.images.fetching import FetchLimits, ImageFetcher
from gateway.images.memory import ImageMemory, MemoryShare
from gateway.images.meter import ImageMeter
from gateway.images.refusals import UnusableImage
from gateway.images.sizes import most_pixels
from gateway.images.url_policy import UrlPolicy
from gateway.telemetry.metrics import ImageRefusal, ImageStage, Metrics
from gateway.types import ImageInput, UInt8Array

_PARAM = "input"

PreparedImages = dict[int, UInt8Array]
"""By the input's number: uint8 [height, width, 3], RGB at the size that the model reads."""

Admit = Callable[[int, int], None]
"""Told the height and width of each image, in pixels as the model reads it, as soon as they are known. Raises
`TokenLimitExceeded` where the images so far are more than the request may have."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The settings `GATEWAY_IMAGE_...` and `GATEWAY_MAX_IMAGE...`, by the same names and with the same defaults."""

    urls: str = "public"
    max_image_bytes: int = 10 * 1024 * 1024
    max_image_pixels: int = 20_000_000
    max_images_bytes: int = 1024 * 1024 * 1024
    fetch_seconds: float = 10.0
    fetches: int = 16
    workers: int = 2


@dataclass(frozen=True, slots=True)
class _Request:
    """What one request's images share: `own` bounds how many of them are under way, and `fetches` and `decodes` are its
    turns among all requests. `refused` is done once `admit` refused an image."""

    spec: ImageSpec
    admit: Admit
    refused: asyncio.Future[TokenLimitExceeded]
    share: MemoryShare
    own: asyncio.Semaphore
    fetches: Turns
    decodes: Turns


class ImageReader:
    """Fetches, checks and decodes. Nothing is started before the first image.

    Raises `ConfigurationError` where `limits.urls` says nothing that can be done. `fetcher` and `decoder` are made from
    the limits unless given.
    """

    def __init__(
        self,
        limits: ImageLimits,
        *,
        metrics: Metrics,
        fetcher: ImageFetcher | None = None,
        decoder: ImageDecoder | None = None,
    ) -> None:
        self._limits = limits
        self._meter = ImageMeter(metrics)
        self._fetcher = fetcher or ImageFetcher(
            UrlPolicy.parse(limits.urls), FetchLimits(max_bytes=limits.max_image_bytes, seconds=limits.fetch_seconds)
        )
        self._decoder = decoder or ImageDecoder(
            DecodeLimits(max_bytes=limits.max_image_bytes, max_pixels=limits.max_image_pixels, workers=limits.workers)
        )
        self._fetches = FairSlots(limits.fetches)
        self._decodes = FairSlots(limits.workers)
        self.memory = ImageMemory(limits.max_images_bytes)

    @asynccontextmanager
    async def prepared(
        self,
        inputs: Sequence[tuple[int, ImageInput]],
        *,
        spec: ImageSpec,
        deadline: float,
        admit: Admit = lambda _height, _width: None,
    ) -> AsyncIterator[PreparedImages]:
        """The images of `inputs`, which are (number, image), read in parallel; within the block they count as taken
        memory.

        `deadline` is a reading of `time.monotonic()`. Of several inputs that fail the first one decides; what
        `admit` raises decides at once, and nothing more is fetched or decoded. Raises `InvalidImage`, which names the
        input's number, `Overloaded`, `DeadlineExceeded` and `EngineUnavailable`.
        """
        with self.memory.share() as share:
            remaining = deadline - time.monotonic()
            try:
                async with asyncio.timeout(remaining):
                    images = await self._read_all(inputs, self._request(spec, share, admit))
            except TimeoutError:
                raise DeadlineExceeded("The request took longer than it may.") from None
            yield images

    async def close(self) -> None:
        """Ends the processes. What is still being read fails."""
        await self._decoder.close()

    def _request(self, spec: ImageSpec, share: MemoryShare, admit: Admit) -> _Request:
        return _Request(
            spec=spec,
            admit=admit,
            refused=asyncio.get_running_loop().create_future(),
            share=share,
            # No more than half of the fetches for one request, so that one with many slow URLs leaves room for others.
            own=asyncio.Semaphore(max(1, self._limits.fetches // 2)),
            fetches=self._fetches.turns(),
            decodes=self._decodes.turns(),
        )

    async def _read_all(self, inputs: Sequence[tuple[int, ImageInput]], request: _Request) -> PreparedImages:
        reading = [asyncio.create_task(self._read(number, given, request)) for number, given in inputs]
        images: PreparedImages = {}
        try:
            for (number, _), image in zip(inputs, reading, strict=True):
                await asyncio.wait((image, request.refused), return_when=asyncio.FIRST_COMPLETED)
                if request.refused.done():
                    raise request.refused.result()
                images[number] = image.result()
            return images
        finally:
            for image in reading:
                image.cancel()
            await asyncio.gather(*reading, return_exceptions=True)

    async def _read(self, number: int, given: ImageInput, request: _Request) -> UInt8Array:
        try:
            async with request.own:
                if given.url is not None and not is_data_uri(given.url):
                    return await self._read_url(given.url, request)
                return await self._decode(self._content(number, given), request)
        except UnusableImage as unusable:
            self._meter.refused(unusable.refusal)
            raise InvalidImage(f"{_where(number)} {unusable.reason}.", param=_PARAM) from None

    async def _read_url(self, url: str, request: _Request) -> UInt8Array:
        """Its place among the fetches is kept until it is decoded: files do not pile up before the processes."""
        async with AsyncExitStack() as place:
            with self._meter.timed(ImageStage.FETCH):
                await place.enter_async_context(request.fetches.one())
                self._take(request.share, self._limits.max_image_bytes)
                place.callback(request.share.give_back, self._limits.max_image_bytes)
                content = await self._fetcher.fetch(url)
            return await self._decode(content, request)

    def _content(self, number: int, given: ImageInput) -> bytes:
        if given.url is not None:
            try:
                return decode_image(
                    given.url, where=_where(number), param=_PARAM, max_bytes=self._limits.max_image_bytes
                )
            except InvalidImage:
                self._meter.refused(ImageRefusal.DATA_URI)
                raise
        content = given.data or b""
        if len(content) > self._limits.max_image_bytes:
            raise UndecodableImage(
                f"is an image of more than {self._limits.max_image_bytes} bytes, the most that is read here",
                refusal=ImageRefusal.TOO_LARGE,
            )
        return content

    async def _decode(self, content: bytes, request: _Request) -> UInt8Array:
        most_bytes = 3 * most_pixels(request.spec)
        self._take(request.share, most_bytes)
        with self._meter.timed(ImageStage.DECODE):
            async with request.decodes.one():
                pixels = await self._decoder.decode(content, request.spec)
        request.share.give_back(most_bytes - pixels.nbytes)
        _admit(pixels, request)
        return pixels

    def _take(self, share: MemoryShare, count: int) -> None:
        try:
            share.take(count)
        except (InvalidImage, Overloaded):
            self._meter.refused(ImageRefusal.MEMORY)
            raise


def _admit(pixels: UInt8Array, request: _Request) -> None:
    height, width, _ = pixels.shape
    try:
        request.admit(height, width)
    except TokenLimitExceeded as exceeded:
        if not request.refused.done():
            request.refused.set_result(exceeded)


def _where(number: int) -> str:
    """An input in the form that the dialects name it in."""
    return f"'{_PARAM}[{number}]'"
