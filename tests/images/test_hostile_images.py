"""No file of a stranger's gets further than its own refusal."""

from __future__ import annotations

import asyncio
import resource

import psutil
import pytest

from gateway.errors import InvalidImage
from gateway.images.reading import ImageLimits, ImageReader
from gateway.telemetry.metrics import build_metrics
from gateway.types import ImageInput, UInt8Array
from tests.support.distant_deadline import soon
from tests.support.hostile_images import encoded, odd_files, photo, refused_files
from tests.support.image_spec import V4_IMAGES

# Words that Pillow, zlib, Python and the system use of themselves.
FOREIGN_WORDS = ("PIL", "Error", "0x", "object at", "zlib", "decoder", "errno", "Traceback", "libpng", "broken data")


def decoding_processes() -> set[int]:
    """Of this process; gateways of other tests may have theirs."""
    return {child.pid for child in psutil.Process().children() if "memory_bytes=" in " ".join(child.cmdline())}


async def read(reader: ImageReader, content: bytes) -> UInt8Array | InvalidImage:
    try:
        async with reader.prepared([(7, ImageInput(data=content))], spec=V4_IMAGES, deadline=soon()) as images:
            return images[7]
    except InvalidImage as refused:
        return refused


async def test_every_hostile_file_is_refused_in_plain_words_and_leaves_nothing_behind() -> None:
    files = refused_files()
    assert len(files) >= 100
    good = encoded(photo(), "JPEG")
    others = decoding_processes()
    reader = ImageReader(ImageLimits(), metrics=build_metrics(version="test"))
    try:
        expected = await read(reader, good)
        assert decoding_processes() - others
        outcomes = dict(zip(files, await asyncio.gather(*(read(reader, file) for file in files.values())), strict=True))
        assert {name for name, outcome in outcomes.items() if not isinstance(outcome, InvalidImage)} == set()
        for name, outcome in outcomes.items():
            assert isinstance(outcome, InvalidImage)
            assert outcome.param == "input", name
            assert outcome.message.startswith("'input[7]' is "), name
            assert not [word for word in FOREIGN_WORDS if word in outcome.message], name
        after = await read(reader, good)
        assert isinstance(after, type(expected))
        assert (after == expected).all()
        assert reader.memory.taken_bytes == 0
    finally:
        await reader.close()
    assert not decoding_processes() - others


async def test_every_odd_file_is_refused_or_read_at_a_size_that_the_model_knows() -> None:
    reader = ImageReader(ImageLimits(), metrics=build_metrics(version="test"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        for name, file in odd_files().items():
            outcome = await read(reader, file)
            if not isinstance(outcome, InvalidImage):
                height, width, bands = outcome.shape
                assert (height % 28, width % 28, bands) == (0, 0, 3), name
                assert height * width <= V4_IMAGES.max_pixels, name
    finally:
        await reader.close()
    # Kibibytes: the gateway's own process holds no image but the one that it is handed.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 * 1024


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("png of 50000 x 50000", "more than 20000000 pixels"),
        ("jpeg of 65535 x 65535", "more than 20000000 pixels"),
        ("webp of 16383 x 16383", "more than 20000000 pixels"),
        ("webp lossless canvas", "more than 20000000 pixels"),
        ("webp lossy canvas", "more than 20000000 pixels"),
        ("png of 300 x 1", "200 times"),
        ("apng", "several frames"),
        ("animated webp", "several frames"),
        ("pdf", "each page as an image"),
        ("svg", "JPEG, PNG or WebP"),
        ("png cut at 50%", "damaged"),
        ("jpeg cut at 90%", "damaged"),
        ("png with a bomb for a text", "damaged"),
    ],
)
async def test_a_refusal_says_what_is_wrong(name: str, words: str) -> None:
    reader = ImageReader(ImageLimits(), metrics=build_metrics(version="test"))
    try:
        outcome = await read(reader, refused_files()[name])
        assert isinstance(outcome, InvalidImage)
        assert words in outcome.message
    finally:
        await reader.close()
