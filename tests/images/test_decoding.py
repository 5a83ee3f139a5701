"""Pixels are those that transformers' own processor makes, and each file's fate is its own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path
from textwrap import dedent

import numpy as np
import psutil
import pytest
import uvloop
from PIL import Image, ImageCms, PngImagePlugin

from gateway.errors import EngineUnavailable, NotServing
from gateway.images.decoding import DecodeLimits, ImageDecoder, UndecodableImage
from gateway.types import UInt8Array
from tests.conftest import missing_torch, need
from tests.support.hostile_images import encoded, jpeg_of_many_scans, jpeg_with_second_image, photo, png
from tests.support.image_spec import V4_IMAGES

LIMITS = DecodeLimits(max_bytes=10 * 1024 * 1024, max_pixels=20_000_000, workers=2)


@pytest.fixture
async def decoder() -> AsyncIterator[ImageDecoder]:
    decoder = ImageDecoder(LIMITS)
    yield decoder
    await decoder.close()


def processor_pixels(image: Image.Image) -> UInt8Array:
    """What transformers makes of an image before it normalises it: its patches, put together again.

    The model was made with versions of transformers that drop what says that something is transparent; newer ones put
    such an image on white, so the processor does not get to know.
    """
    rgb = image.convert("RGB")
    rgb.info.clear()
    size = {"shortest_edge": V4_IMAGES.min_pixels, "longest_edge": V4_IMAGES.max_pixels}
    need(missing_torch())
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    processor = Qwen2VLImageProcessorPil(size=size, do_rescale=False, do_normalize=False)
    read = processor(images=[rgb], return_tensors="np")
    _, rows, columns = read["image_grid_thw"][0]
    patches = read["pixel_values"].reshape(rows // 2, columns // 2, 2, 2, 3, 2, 14, 14)[..., 0, :, :]
    return patches.transpose(0, 2, 5, 1, 3, 6, 4).reshape(rows * 14, columns * 14, 3).astype(np.uint8)


def sixteen_bits() -> bytes:
    values = np.random.default_rng(3).integers(0, 65_536, (50, 70), dtype=np.uint16)
    return encoded(Image.fromarray(values), "PNG")


def transparent_palette() -> bytes:
    return encoded(photo(90, 70).convert("P"), "PNG", transparency=3)


def rgba() -> Image.Image:
    image = photo(80, 60).convert("RGBA")
    image.putalpha(photo(80, 60, seed=4).convert("L"))
    return image


def with_metadata(name: str) -> bytes:
    """What cameras and editors write beside the picture: settings, a place, a colour profile, texts."""
    exif = Image.Exif()
    exif[0x010F], exif[0x011A], exif[0x0128] = "camera", 300.0, 2
    exif.get_ifd(0x8825)[1] = "N"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    options: dict[str, object] = {"exif": exif, "icc_profile": profile}
    if name == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("Title", "a" * 5000, zip=True)
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>", "en", "t", zip=True)
    else:
        options["xmp"] = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    return encoded(photo(80, 60), name, **options)


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(photo(80, 40), "JPEG", exif=exif)


FILES: dict[str, Callable[[], bytes]] = {
    "grey png": lambda: encoded(photo().convert("L"), "PNG"),
    "bilevel png": lambda: encoded(photo().convert("1"), "PNG"),
    "grey png with alpha": lambda: encoded(rgba().convert("LA"), "PNG"),
    "palette png": lambda: encoded(photo().convert("P"), "PNG"),
    "palette png with transparency": transparent_palette,
    "rgba png": lambda: encoded(rgba(), "PNG"),
    "rgb png": lambda: encoded(photo(300, 200), "PNG"),
    "16-bit grey png": sixteen_bits,
    "16-bit rgb png": lambda: png(2, 2, b"\0" + bytes(range(90, 102)) + b"\0" + bytes(range(12)), depth=16),
    "rgb png with a transparent colour": lambda: encoded(photo(), "PNG", transparency=(0, 0, 0)),
    "jpeg": lambda: encoded(photo(200, 300), "JPEG"),
    "grey jpeg": lambda: encoded(photo(200, 300).convert("L"), "JPEG"),
    "cmyk jpeg": lambda: encoded(photo(200, 300).convert("CMYK"), "JPEG"),
    "progressive jpeg": lambda: encoded(photo(1500, 1100), "JPEG", progressive=True),
    "jpeg of full colour": lambda: encoded(photo(1500, 1100), "JPEG", quality=95, subsampling=0),
    "jpeg that is to be turned": turned,
    "lossy webp": lambda: encoded(photo(400, 300), "WEBP"),
    "lossless webp": lambda: encoded(photo(400, 300), "WEBP", lossless=True),
    "lossy webp with alpha": lambda: encoded(rgba(), "WEBP"),
    "lossless webp with alpha": lambda: encoded(rgba(), "WEBP", lossless=True),
    "jpeg with metadata": lambda: with_metadata("JPEG"),
    "png with metadata": lambda: with_metadata("PNG"),
    "webp with metadata": lambda: with_metadata("WEBP"),
    "one pixel": lambda: encoded(photo(1, 1), "PNG"),
    "one row": lambda: encoded(photo(200, 1), "PNG"),
    "one column": lambda: encoded(photo(1, 200), "WEBP", lossless=True),
    "a photo's size": lambda: encoded(photo(2400, 1800), "JPEG", quality=40),
}


@pytest.mark.parametrize("name", FILES)
async def test_pixels_are_those_of_transformers(decoder: ImageDecoder, name: str) -> None:
    content = FILES[name]()
    pixels = await decoder.decode(content, V4_IMAGES)
    with Image.open(BytesIO(content)) as image:
        np.testing.assert_array_equal(pixels, processor_pixels(image))
    assert pixels.dtype == np.uint8


async def test_of_a_photo_with_a_second_image_the_first_is_read(decoder: ImageDecoder) -> None:
    pixels = await decoder.decode(jpeg_with_second_image(), V4_IMAGES)
    alone = await decoder.decode(encoded(photo(), "JPEG"), V4_IMAGES)
    np.testing.assert_array_equal(pixels, alone)


async def refusal(decoder: ImageDecoder, content: bytes) -> str:
    with pytest.raises(UndecodableImage) as caught:
        await decoder.decode(content, V4_IMAGES)
    return caught.value.reason


async def test_nothing_is_started_before_the_first_image(decoder: ImageDecoder) -> None:
    assert decoder.pids == []
    assert "JPEG, PNG or WebP" in await refusal(decoder, b"GIF89a")
    assert "Send each page as an image" in await refusal(decoder, b"%PDF-1.7")
    assert decoder.pids == []


async def test_images_are_decoded_side_by_side_by_no_more_than_so_many(decoder: ImageDecoder) -> None:
    content = encoded(photo(600, 400), "JPEG")
    found = await asyncio.gather(*(decoder.decode(content, V4_IMAGES) for _ in range(20)))
    assert all(np.array_equal(pixels, found[0]) for pixels in found)
    assert len(decoder.pids) == LIMITS.workers


async def test_a_killed_process_fails_its_own_image_alone() -> None:
    content = encoded(photo(), "JPEG")
    decoder = ImageDecoder(DecodeLimits(max_bytes=LIMITS.max_bytes, max_pixels=LIMITS.max_pixels, workers=1))
    try:
        shape = (await decoder.decode(content, V4_IMAGES)).shape
        pid = decoder.pids[0]
        os.kill(pid, signal.SIGSTOP)
        doomed = asyncio.create_task(decoder.decode(content, V4_IMAGES))
        following = [asyncio.create_task(decoder.decode(content, V4_IMAGES)) for _ in range(3)]
        for _ in range(100):  # turns of the loop: the file has been sent by then
            await asyncio.sleep(0)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(NotServing, match="try again"):
            await doomed
        assert [pixels.shape for pixels in await asyncio.gather(*following)] == [shape] * 3
        assert pid not in decoder.pids
    finally:
        await decoder.close()


async def test_a_process_that_was_killed_while_idle_costs_nobody_an_image(decoder: ImageDecoder) -> None:
    content = encoded(photo(), "JPEG")
    await decoder.decode(content, V4_IMAGES)
    pid = decoder.pids[0]
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - it is dead
    await decoder.decode(content, V4_IMAGES)


async def test_the_kernel_ends_what_takes_too_much_time() -> None:
    # Without the limit it would take ten seconds or so, and be read.
    decoder = ImageDecoder(LIMITS, cpu_seconds=0)
    try:
        assert "too much time or memory" in await refusal(decoder, jpeg_of_many_scans(4000, scans=1000))
        await decoder.decode(encoded(photo(), "JPEG"), V4_IMAGES)
    finally:
        await decoder.close()


async def test_a_process_that_says_nothing_is_given_up() -> None:
    decoder = ImageDecoder(LIMITS, wall_seconds=2)
    try:
        content = encoded(photo(), "JPEG")
        await decoder.decode(content, V4_IMAGES)
        pid = decoder.pids[0]
        os.kill(pid, signal.SIGSTOP)
        assert "too much time or memory" in await refusal(decoder, content)
        assert not psutil.pid_exists(pid)
    finally:
        await decoder.close()


async def test_memory_is_limited() -> None:
    decoder = ImageDecoder(DecodeLimits(max_bytes=1024, max_pixels=1000, workers=1))
    try:
        await decoder.decode(encoded(photo(20, 20), "JPEG"), V4_IMAGES)
        expected = 256 * 1024 * 1024 + 4 * 1024 + 24 * 1000
        assert psutil.Process(decoder.pids[0]).rlimit(psutil.RLIMIT_AS) == (expected, expected)
    finally:
        await decoder.close()


async def test_a_process_can_open_nothing(decoder: ImageDecoder) -> None:
    await decoder.decode(encoded(photo(), "JPEG"), V4_IMAGES)
    process = psutil.Process(decoder.pids[0])
    assert process.rlimit(psutil.RLIMIT_NOFILE) == (0, 0)
    assert process.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)


async def test_a_process_knows_no_secrets(decoder: ImageDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_API_KEYS", "top-secret")
    await decoder.decode(encoded(photo(), "JPEG"), V4_IMAGES)
    assert "GATEWAY_API_KEYS" not in psutil.Process(decoder.pids[0]).environ()


async def test_processes_are_renewed() -> None:
    decoder = ImageDecoder(DecodeLimits(max_bytes=1 << 20, max_pixels=1 << 20, workers=1), most_decoded=2)
    try:
        seen = set()
        for _ in range(5):
            await decoder.decode(encoded(photo(), "JPEG"), V4_IMAGES)
            seen.update(decoder.pids)
        assert len(seen) >= 2
        assert [pid for pid in seen if psutil.pid_exists(pid)] == decoder.pids
    finally:
        await decoder.close()


async def test_a_caller_who_goes_costs_no_process(decoder: ImageDecoder) -> None:
    content = encoded(photo(1500, 1100), "JPEG")
    await decoder.decode(content, V4_IMAGES)
    pids = decoder.pids
    gone = asyncio.create_task(decoder.decode(content, V4_IMAGES))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await asyncio.gather(*(decoder.decode(content, V4_IMAGES) for _ in range(4)))
    assert set(pids) <= set(decoder.pids)


async def test_no_process_is_left_after_closing() -> None:
    decoder = ImageDecoder(LIMITS)
    content = encoded(photo(), "JPEG")
    await asyncio.gather(*(decoder.decode(content, V4_IMAGES) for _ in range(4)))
    pids = decoder.pids
    waiting = [asyncio.create_task(decoder.decode(content, V4_IMAGES)) for _ in range(4)]
    await asyncio.sleep(0)
    await decoder.close()
    assert pids
    assert not any(map(psutil.pid_exists, pids))
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, asyncio.CancelledError | EngineUnavailable)
    with pytest.raises(EngineUnavailable):
        await decoder.decode(content, V4_IMAGES)


def test_the_loop_that_the_gateway_runs_on_will_do() -> None:
    content = encoded(photo(2000, 1500), "JPEG", quality=95)

    async def shapes() -> set[tuple[int, ...]]:
        decoder = ImageDecoder(LIMITS)
        try:
            found = await asyncio.gather(*(decoder.decode(content, V4_IMAGES) for _ in range(4)))
            assert "damaged" in await refusal(decoder, content[:1000])
            return {pixels.shape for pixels in found}
        finally:
            await decoder.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(shapes()) == {(672, 896, 3)}


def test_processes_end_with_a_gateway_that_is_killed(tmp_path: Path) -> None:
    program = """
        import asyncio
        from gateway.images.decoding import DecodeLimits, ImageDecoder
        from tests.support.hostile_images import encoded, photo
        from tests.support.image_spec import V4_IMAGES

        async def main():
            decoder = ImageDecoder(DecodeLimits(max_bytes=1 << 20, max_pixels=1 << 20, workers=1))
            await decoder.decode(encoded(photo(), "JPEG"), V4_IMAGES)
            print(decoder.pids[0], flush=True)
            await asyncio.sleep(600)

        asyncio.run(main())
    """
    with subprocess.Popen([sys.executable, "-c", dedent(program)], stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdout is not None
        worker = psutil.Process(int(gateway.stdout.readline()))
        gateway.kill()
    worker.wait(timeout=20)
    assert not worker.is_running()
