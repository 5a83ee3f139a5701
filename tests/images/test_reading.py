"""A request's images come in its own numbers, from wherever they are, under the bounds that all requests share."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import cast

import numpy as np
import pytest
from PIL import Image

from gateway.cards.schema import ImageSpec
from gateway.errors import ConfigurationError, DeadlineExceeded, InvalidImage, Overloaded, TokenLimitExceeded
from gateway.images.decoding import ImageDecoder
from gateway.images.reading import ImageLimits, ImageReader
from gateway.images.sizes import most_pixels
from gateway.telemetry.metrics import ImageRefusal, Metrics, build_metrics
from gateway.types import ImageInput, UInt8Array
from tests.support.distant_deadline import soon
from tests.support.hostile_images import encoded, photo
from tests.support.image_server import Answer, ImageServer, response
from tests.support.image_spec import V4_IMAGES

PHOTOS = [encoded(photo(60 + 30 * number, 90, seed=number), "PNG") for number in range(4)]
MOST_BYTES = 3 * most_pixels(V4_IMAGES)


@pytest.fixture
async def server() -> AsyncIterator[ImageServer]:
    answers: dict[str, Answer] = {f"/{number}": response(content) for number, content in enumerate(PHOTOS)}
    async with ImageServer(answers) as server:
        yield server


@pytest.fixture
def metrics() -> Metrics:
    return build_metrics(version="test")


@pytest.fixture
async def reader_with(server: ImageServer, metrics: Metrics) -> AsyncIterator[Callable[..., ImageReader]]:
    async with AsyncExitStack() as readers:

        def make(**limits: object) -> ImageReader:
            settings = ImageLimits(urls=f"127.0.0.1:{server.port}+private", **limits)  # type: ignore[arg-type]
            reader = ImageReader(settings, metrics=metrics)
            readers.push_async_callback(reader.close)
            return reader

        yield make


Readers = Callable[..., ImageReader]


async def test_images_of_every_kind_come_under_their_numbers(server: ImageServer, reader_with: Readers) -> None:
    text = base64.b64encode(PHOTOS[2]).decode()
    inputs = [
        (5, ImageInput(url=server.url("/0"))),
        (2, ImageInput(data=PHOTOS[1])),
        (9, ImageInput(url=f"data:image/png;base64,{text}")),
        (0, ImageInput(url=server.url("/3"))),
    ]
    reader = reader_with()
    alone = {}
    for number, content in zip((5, 2, 9, 0), PHOTOS, strict=True):
        async with reader.prepared([(0, ImageInput(data=content))], spec=V4_IMAGES, deadline=soon()) as images:
            alone[number] = images[0]
    async with reader.prepared(inputs, spec=V4_IMAGES, deadline=soon()) as images:
        assert list(images) == [5, 2, 9, 0]
        for number, pixels in images.items():
            np.testing.assert_array_equal(pixels, alone[number])
        assert reader.memory.taken_bytes == sum(pixels.nbytes for pixels in images.values())
    assert reader.memory.taken_bytes == 0


async def test_the_first_input_that_fails_decides(server: ImageServer, reader_with: Readers) -> None:
    release = asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(response(b"no image"))

    server.answers["/late"] = late
    reader = reader_with()
    inputs = [
        (1, ImageInput(data=PHOTOS[0])),
        (4, ImageInput(url=server.url("/late"))),
        (6, ImageInput(data=b"GIF89a")),
    ]
    asyncio.get_running_loop().call_later(0.1, release.set)
    with pytest.raises(InvalidImage, match=r"^'input\[4\]' is not a JPEG") as caught:
        async with reader.prepared(inputs, spec=V4_IMAGES, deadline=soon()):
            pass
    assert (caught.value.param, caught.value.code) == ("input", "invalid_image")
    assert reader.memory.taken_bytes == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (ImageInput(data=b""), "'input[3]' is not a JPEG, PNG or WebP file"),
        (ImageInput(data=bytes(2000)), "'input[3]' is an image of more than 1500 bytes"),
        (ImageInput(url="data:image/png;base64," + "A" * 3000), "'input[3]' is an image of more than 1500 bytes"),
        (ImageInput(url="data:image/png,abc"), "'input[3]' is a data URI that holds no base64"),
        (ImageInput(url="data:image/svg+xml;base64,PHN2Zz4="), "'input[3]' is not a JPEG, PNG or WebP file"),
        (ImageInput(url="http://elsewhere.example/"), "'input[3]' has an image URL whose host is not among"),
        (ImageInput(url=""), "'input[3]' has an image URL that is neither http nor https"),
    ],
)
async def test_refusals_name_the_input(reader_with: Readers, given: ImageInput, words: str) -> None:
    with pytest.raises(InvalidImage) as caught:
        async with reader_with(max_image_bytes=1500).prepared([(3, given)], spec=V4_IMAGES, deadline=soon()):
            pass
    assert words in caught.value.message


async def test_images_are_timed_by_stage_and_refusals_counted_by_reason(
    server: ImageServer, reader_with: Readers, metrics: Metrics
) -> None:
    wide = encoded(Image.new("L", (40, 40)), "PNG")
    several = encoded(photo(30, 30), "WEBP", save_all=True, append_images=[photo(30, 30, seed=1)])
    server.answers.update({"/large": response(bytes(2000)), "/no-image": response(b"GIF89a")})
    reader = reader_with(max_image_bytes=1900, max_image_pixels=1000)
    refused = {
        "data_uri": [ImageInput(url="data:image/png,abc"), ImageInput(url="data:image/png;base64," + "A" * 3000)],
        "too_large": [ImageInput(data=bytes(2000)), ImageInput(data=wide), ImageInput(url=server.url("/large"))],
        "format": [ImageInput(data=b"%PDF-1.7"), ImageInput(url=server.url("/no-image")), ImageInput(data=several)],
        "unreadable": [ImageInput(data=b"\xff\xd8\xff")],
        "url": [ImageInput(url="ftp://elsewhere.example/"), ImageInput(url="http://elsewhere.example/")],
        "unreachable": [ImageInput(url=server.url("/nowhere"))],
    }
    for image in (image for images in refused.values() for image in images):
        with pytest.raises(InvalidImage):
            async with reader.prepared([(0, image)], spec=V4_IMAGES, deadline=soon()):
                pass
    counted = {one: value_of(metrics, "refused_images_total", reason=one.value) for one in ImageRefusal}
    assert counted == {one: len(refused.get(one.value, ())) for one in ImageRefusal}
    assert value_of(metrics, "image_seconds_count", stage="fetch") == 5, "as many as there were URLs to fetch"
    assert value_of(metrics, "image_seconds_count", stage="decode") == 5, "as many as there were files to read"


def value_of(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"gateway_{name}", labels)


async def test_memory_that_others_hold_is_an_overload(reader_with: Readers, metrics: Metrics) -> None:
    reader = reader_with(max_images_bytes=MOST_BYTES + 1000)
    async with reader.prepared([(0, ImageInput(data=PHOTOS[0]))], spec=V4_IMAGES, deadline=soon()):
        with pytest.raises(Overloaded):
            async with reader.prepared([(0, ImageInput(data=PHOTOS[0]))], spec=V4_IMAGES, deadline=soon()):
                pass
    assert value_of(metrics, "refused_images_total", reason="memory") == 1
    async with reader.prepared([(0, ImageInput(data=PHOTOS[0]))], spec=V4_IMAGES, deadline=soon()):
        pass


async def test_a_request_that_could_never_fit_is_told_so(reader_with: Readers) -> None:
    reader = reader_with(max_images_bytes=MOST_BYTES + 1000)
    inputs = [(number, ImageInput(data=PHOTOS[0])) for number in range(3)]
    with pytest.raises(InvalidImage, match="fewer in one request"):
        async with reader.prepared(inputs, spec=V4_IMAGES, deadline=soon()):
            pass
    assert reader.memory.taken_bytes == 0


async def test_the_requests_deadline_ends_a_fetch(server: ImageServer, reader_with: Readers) -> None:
    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    server.answers["/silent"] = silent
    reader = reader_with(fetch_seconds=200.0)
    inputs = [(0, ImageInput(url=server.url("/silent"))), (1, ImageInput(url=server.url("/0")))]
    for deadline in (time.monotonic() + 0.2, time.monotonic() - 1):
        with pytest.raises(DeadlineExceeded):
            async with reader.prepared(inputs, spec=V4_IMAGES, deadline=deadline):
                pass
    assert reader.memory.taken_bytes == 0


async def test_what_happens_in_the_block_is_not_taken_for_the_deadline(reader_with: Readers) -> None:
    with pytest.raises(TimeoutError):
        async with reader_with().prepared([(0, ImageInput(data=PHOTOS[0]))], spec=V4_IMAGES, deadline=soon()):
            raise TimeoutError


async def test_fetches_are_bounded_over_all_requests_and_one_takes_half(
    server: ImageServer, reader_with: Readers
) -> None:
    under_way = most = 0
    release = asyncio.Event()

    async def counted(writer: asyncio.StreamWriter) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await release.wait()
        under_way -= 1
        writer.write(response(PHOTOS[0]))
        await writer.drain()

    server.answers["/counted"] = counted
    reader = reader_with(fetches=6)

    async def one_request() -> int:
        inputs = [(number, ImageInput(url=server.url("/counted"))) for number in range(12)]
        async with reader.prepared(inputs, spec=V4_IMAGES, deadline=soon()) as images:
            return len(images)

    requests = [asyncio.create_task(one_request())]
    await settled(lambda: under_way, at_least=3)
    assert under_way == 3
    requests += [asyncio.create_task(one_request()) for _ in range(3)]
    await settled(lambda: under_way, at_least=6)
    assert under_way == 6
    release.set()
    assert await asyncio.gather(*requests) == [12] * 4
    assert most == 6


@pytest.mark.parametrize("by_url", [True, False])
async def test_a_single_image_waits_for_a_turn_of_each_request_and_not_for_all_of_theirs(
    metrics: Metrics, by_url: bool
) -> None:
    gate = asyncio.Semaphore(0)
    begun: list[str] = []

    async def slow(name: str) -> None:
        begun.append(name)
        await gate.acquire()

    class Gated:
        async def fetch(self, url: str) -> bytes:
            await slow(url)
            return b""

        async def decode(self, content: bytes, spec: ImageSpec) -> UInt8Array:
            if not by_url:
                await slow(content.decode())
            return np.zeros((28, 28, 3), np.uint8)

    gated = Gated()
    reader = ImageReader(ImageLimits(), metrics=metrics, fetcher=gated, decoder=gated)  # type: ignore[arg-type]

    async def ask(name: str, images: int) -> None:
        given = ImageInput(url=name) if by_url else ImageInput(data=name.encode())
        async with reader.prepared(list(enumerate([given] * images)), spec=V4_IMAGES, deadline=soon()):
            pass

    requests = [asyncio.create_task(ask("many", 100)) for _ in range(5)]
    await settled(lambda: len(begun), at_least=16 if by_url else 2)
    under_way = len(begun)
    requests.append(asyncio.create_task(ask("single", 1)))
    for _ in range(20):
        await asyncio.sleep(0)
    for _ in range(6):
        gate.release()
    await settled(lambda: len(begun), at_least=under_way + 6)
    assert "single" in begun
    for request in requests:
        request.cancel()
    await asyncio.gather(*requests, return_exceptions=True)


async def test_images_beyond_what_the_request_may_have_end_it_at_once(metrics: Metrics) -> None:
    """Even while an earlier one is being waited for."""
    fetched: list[str] = []
    decoded: list[bytes] = []
    seen: list[tuple[int, int]] = []

    class Fetcher:
        async def fetch(self, url: str) -> bytes:
            fetched.append(url)
            if url.endswith("/silent"):
                await asyncio.Event().wait()
            return b""

    class Decoder:
        async def decode(self, content: bytes, spec: ImageSpec) -> UInt8Array:
            decoded.append(content)
            await asyncio.sleep(0)
            return np.zeros((28, 56, 3), np.uint8)

    def admit(height: int, width: int) -> None:
        seen.append((height, width))
        if len(seen) > 5:
            raise TokenLimitExceeded("Too many.", param="input")

    reader = ImageReader(ImageLimits(), metrics=metrics, fetcher=Fetcher(), decoder=Decoder())  # type: ignore[arg-type]
    inputs = [(number, ImageInput(url=f"http://a.example/{number}")) for number in range(1, 100)]
    with pytest.raises(TokenLimitExceeded, match="Too many"):
        async with reader.prepared(
            [(0, ImageInput(url="http://a.example/silent")), *inputs], spec=V4_IMAGES, deadline=soon(), admit=admit
        ):
            pass
    assert seen[:6] == [(28, 56)] * 6
    assert max(len(fetched), len(decoded)) <= 6 + ImageLimits().fetches // 2
    assert reader.memory.taken_bytes == 0


async def test_files_do_not_pile_up_before_the_processes(server: ImageServer, metrics: Metrics) -> None:
    class Busy:
        """Decodes nothing until it is released."""

        def __init__(self) -> None:
            self.released = asyncio.Event()
            self.files = 0

        async def decode(self, content: bytes, spec: ImageSpec) -> UInt8Array:
            self.files += 1
            await self.released.wait()
            return np.zeros((28, 28, 3), np.uint8)

        async def close(self) -> None: ...

    busy = Busy()
    limits = ImageLimits(urls=f"127.0.0.1:{server.port}+private", fetches=2)
    reader = ImageReader(limits, metrics=metrics, decoder=cast(ImageDecoder, busy))

    async def one_request() -> None:
        async with reader.prepared([(0, ImageInput(url=server.url("/0")))], spec=V4_IMAGES, deadline=soon()):
            pass

    requests = [asyncio.create_task(one_request()) for _ in range(5)]
    await settled(lambda: busy.files, at_least=2)
    assert (busy.files, server.connections) == (2, 2)
    assert reader.memory.taken_bytes == 2 * (MOST_BYTES + limits.max_image_bytes), "files and what they become"
    busy.released.set()
    await asyncio.gather(*requests)
    await reader.close()
    assert (busy.files, reader.memory.taken_bytes) == (5, 0)


async def settled(count: Callable[[], int], *, at_least: int) -> None:
    """Until `count` is `at_least` so much, and then a while longer, in which it might become more."""
    while count() < at_least:  # noqa: ASYNC110 - what is counted is on the other side of sockets
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)


def test_a_setting_that_says_nothing_is_told_at_the_start() -> None:
    with pytest.raises(ConfigurationError):
        ImageReader(ImageLimits(urls="https://a.example/"), metrics=build_metrics(version="test"))
