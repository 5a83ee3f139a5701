"""The program of a process that decodes strangers' images: all parsing of a file beyond its first bytes is done here,
under limits of memory and time, by a process that has no secrets, can open neither files nor connections, and may die.

It has one socket, its standard input, and ends when the gateway's end of it does.
"""

from __future__ import annotations

import resource
import socket
import sys
import warnings
from collections.abc import Callable, Mapping
from io import BytesIO

# TiffImagePlugin reads EXIF, and Pillow would otherwise import it when it first meets some.
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401

from gateway.cards.schema import ImageSpec
from gateway.images.decode_messages import FORMATS, READY, Job, Outcome, Reply, packed_reply, receive_job
from gateway.images.headers import ImageFormat
from gateway.images.sizes import TooNarrow, resized

# The three readers themselves, not `Image.open`, which would first load those of twenty other formats. A JPEG that
# carries a second image, as phones' photos do (a gain map, a preview), is then read by its first, as browsers do.
_READERS: Mapping[ImageFormat, Callable[[BytesIO], ImageFile.ImageFile]] = {
    ImageFormat.JPEG: JpegImagePlugin.JpegImageFile,
    ImageFormat.PNG: PngImagePlugin.PngImageFile,
    ImageFormat.WEBP: WebPImagePlugin.WebPImageFile,
}


class _Unfit(Exception):
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


def serve(channel: socket.socket, *, memory_bytes: int) -> None:
    """Decodes until the other end is closed. `memory_bytes` bounds this process's address space."""
    _limit(memory_bytes)
    warnings.simplefilter("ignore")  # they would be formatted, with source lines from files, for nobody
    Image.MAX_IMAGE_PIXELS = None  # the job's own bound is checked before anything is decoded
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    channel.sendall(READY)
    while (received := receive_job(channel)) is not None:
        job, content = received
        _limit_cpu_seconds(job.cpu_seconds)
        reply, pixels = _answer(job, content)
        channel.sendall(packed_reply(reply))
        channel.sendall(pixels)


def _limit(memory_bytes: int) -> None:
    if sys.platform != "darwin":  # macOS refuses every limit of address space
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    # What is open stays so; nothing can be opened or connected to any more, imports included.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _limit_cpu_seconds(seconds: int) -> None:
    """From now on. The kernel ends the process when they are spent."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


def _answer(job: Job, content: bytearray) -> tuple[Reply, bytes]:
    try:
        image = _decoded(job, content)
    except _Unfit as unfit:
        return Reply(unfit.outcome, 0, 0), b""
    except TooNarrow:
        return Reply(Outcome.TOO_NARROW, 0, 0), b""
    except Exception:  # noqa: BLE001 - a file can make Pillow raise anything, and its words are for nobody
        return Reply(Outcome.UNREADABLE, 0, 0), b""
    return Reply(Outcome.OK, image.height, image.width), image.tobytes()


def _decoded(job: Job, content: bytearray) -> Image.Image:
    """The image as a model reads it: of its bands as Pillow makes RGB of them, resized as transformers does."""
    read = _READERS[FORMATS[job.format]]
    if FORMATS[job.format] is ImageFormat.WEBP:
        _check_pixels(job, *_webp_canvas(content))
    with read(BytesIO(content)) as image:
        _check_pixels(job, *image.size)
        if getattr(image, "is_animated", False):
            raise _Unfit(Outcome.SEVERAL_FRAMES)
        height, width = resized(image.height, image.width, _spec(job))
        if FORMATS[job.format] is ImageFormat.PNG:
            # Decoding skips the checksums of the chunks that hold the pixels; this reads them, and inflates nothing.
            with read(BytesIO(content)) as checked:
                checked.verify()
        rgb = image.convert("RGB")
    return rgb.resize((width, height), resample=Image.Resampling.BICUBIC)


def _check_pixels(job: Job, width: int, height: int) -> None:
    if width * height > job.most_pixels:
        raise _Unfit(Outcome.TOO_MANY_PIXELS)


def _webp_canvas(content: bytearray) -> tuple[int, int]:
    """Width and height by the header, as a WebP container gives them in its first chunk.

    Read here because Pillow makes the canvas, up to 2 GB, when it opens the file. (0, 0) where there is no such header;
    what Pillow then finds is checked as well.
    """
    chunk = bytes(content[12:16])
    if chunk == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        return int.from_bytes(content[26:28], "little") & 0x3FFF, int.from_bytes(content[28:30], "little") & 0x3FFF
    return 0, 0


def _spec(job: Job) -> ImageSpec:
    return ImageSpec(
        prompt="",
        pad_token="",
        unit_pixels=job.unit_pixels,
        min_pixels=job.min_pixels,
        max_pixels=job.max_pixels,
        max_aspect_ratio=job.max_aspect_ratio,
    )
