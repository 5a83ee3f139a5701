"""Files that strangers send instead of images: `refused_files` have to be refused, `odd_files` may be read or refused.

All are made here, from a few pixels and fixed seeds.
"""

from __future__ import annotations

import gzip
import random
import struct
import zipfile
import zlib
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def photo(width: int = 60, height: int = 40, *, seed: int = 0) -> Image.Image:
    """Smooth colours with some noise, so that lossy formats have something to do."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 255, width)[None, :, None] * np.linspace(0.2, 1, height)[:, None, None]
    noise = rng.integers(0, 40, (height, width, 3))
    return Image.fromarray(np.clip(ramp * (1, 0.6, 0.3) + noise, 0, 255).astype(np.uint8), "RGB")


def encoded(image: Image.Image, name: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes, *, crc: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png_header(width: int, height: int, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    return PNG_MAGIC + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def png(width: int, height: int, rows: bytes, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG file whose uncompressed rows are `rows`, whatever its header says."""
    body = b"".join(chunks) + png_chunk(b"IDAT", zlib.compress(rows, 9)) + png_chunk(b"IEND", b"")
    return png_header(width, height, depth, colour) + body


def plain_png(*chunks: bytes) -> bytes:
    return png(2, 2, b"\0" + b"\x40" * 6 + b"\0" + b"\x80" * 6, *chunks)


def riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def riff_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def webp_canvas(width: int, height: int, flags: int = 0) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return riff_chunk(b"VP8X", bytes((flags, 0, 0, 0)) + sizes)


def jpeg_of_size(content: bytes, height: int, width: int) -> bytes:
    """A JPEG file with other dimensions in its header."""
    place = min(found for found in (content.find(b"\xff\xc0"), content.find(b"\xff\xc2")) if found > 0)
    return content[: place + 5] + struct.pack(">HH", height, width) + content[place + 9 :]


def jpeg_of_many_scans(side: int, *, scans: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: a few bytes each, and all blocks to be gone through."""
    content = encoded(Image.new("RGB", (side, side), (9, 9, 9)), "JPEG", progressive=True)
    last = content[content.rfind(b"\xff\xda") : -2]
    return content[:-2] + last * scans + b"\xff\xd9"


def _sizes_that_lie() -> dict[str, bytes]:
    jpeg = encoded(photo(), "JPEG")
    sizes = [(50_000, 50_000), (65_500, 65_500), (2**31 - 1, 1), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1), (0, 0)]
    sizes += [(0, 10), (10, 0), (2**32 - 1, 2**32 - 1), (20_001, 1000), (300, 1), (1, 300), (100_000, 400)]
    files = {f"png of {width} x {height}": png(width, height, b"\0" * 5000) for width, height in sizes}
    files |= {
        f"jpeg of {width} x {height}": jpeg_of_size(jpeg, height, width)
        for width, height in [
            (65_535, 65_535),
            (50_000, 50_000),
            (0, 0),
            (0, 40),
            (60_000, 340),
            (300, 1),
            (10_000, 40),
        ]
    }
    files |= {
        f"webp of {width} x {height}": riff(webp_canvas(width, height), riff_chunk(b"VP8 ", b"\0" * 40))
        for width, height in [(16_383, 16_383), (2**24, 2**24), (2**24, 1), (5000, 5000)]
    }
    lossless = riff_chunk(b"VP8L", b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14) + b"\0" * 40)
    lossy = riff_chunk(b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", 16_383, 16_383) + b"\0" * 40)
    return files | {"webp lossless canvas": riff(lossless), "webp lossy canvas": riff(lossy)}


def _truncated() -> dict[str, bytes]:
    whole = {
        "jpeg": encoded(photo(), "JPEG"),
        "progressive jpeg": encoded(photo(), "JPEG", progressive=True),
        "png": encoded(photo(), "PNG"),
        "interlace-free png": encoded(photo(100, 100).convert("P"), "PNG"),
        "webp": encoded(photo(), "WEBP"),
        "lossless webp": encoded(photo(), "WEBP", lossless=True),
    }
    return {
        f"{name} cut at {share:.0%}": content[: int(len(content) * share)]
        for name, content in whole.items()
        for share in (0.03, 0.1, 0.3, 0.5, 0.7, 0.9)
    }


def _animated() -> dict[str, bytes]:
    frames = [photo(seed=seed) for seed in range(3)]
    many = {"save_all": True, "append_images": frames[1:]}
    control = png_chunk(b"acTL", struct.pack(">II", 1000, 0))
    return {
        "apng": encoded(frames[0], "PNG", **many),
        "apng with a default image": encoded(frames[0], "PNG", default_image=True, **many),
        "apng without frames": plain_png(control),
        "animated webp": encoded(frames[0], "WEBP", **many),
        "animated lossless webp": encoded(frames[0], "WEBP", lossless=True, **many),
        "gif": encoded(photo(), "GIF"),
        "animated gif": encoded(frames[0], "GIF", **many),
    }


def _other_formats() -> dict[str, bytes]:
    files = {
        name.lower(): encoded(photo(), name)
        for name in ("BMP", "TIFF", "ICO", "PPM", "TGA", "PCX", "DDS", "SGI", "EPS", "PDF", "JPEG2000", "ICNS")
    }
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("image.png", bytes(1_000_000))
    return files | {
        "svg": svg,
        "svg with a declaration": b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
        + svg,
        "html": b"<!doctype html><title>404</title>",
        "script": b"#!/bin/sh\nid\n",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n",
        "zip bomb": archive.getvalue(),
        "gzip bomb": gzip.compress(bytes(5_000_000)),
        "gzipped png": gzip.compress(plain_png()),
        "pickle": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.",
        "elf": b"\x7fELF\x02\x01\x01" + bytes(200),
        "nothing": b"",
        "one byte": b"\xff",
        "zeros": bytes(10_000),
        "text": b"not an image",
        "riff wave": b"RIFF" + struct.pack("<I", 100) + b"WAVEfmt " + bytes(100),
        "png named jpeg": b"\xff\xd8\xff" + plain_png(),
        "jpeg named png": PNG_MAGIC + encoded(photo(), "JPEG"),
        "gif named webp": b"RIFF\x20\0\0\0WEBP" + encoded(photo(), "GIF"),
        "png after a space": b" " + plain_png(),
        "png behind html": b"<html>" + plain_png(),
    }


def _broken_png() -> dict[str, bytes]:
    header = png_header(2, 2)
    data = zlib.compress(b"\0" * 14)
    end = png_chunk(b"IEND", b"")
    bomb = zlib.compress(bytes(50_000_000), 9)
    return {
        "png magic alone": PNG_MAGIC,
        "png without data": header + end,
        "png with an endless chunk": header + struct.pack(">I", 2**31 - 1) + b"IDAT" + data,
        "png with a wrong checksum": header + png_chunk(b"IDAT", data, crc=1) + end,
        "png with a wrong header checksum": png_header(2, 2)[:-4] + b"\0\0\0\0" + png_chunk(b"IDAT", data) + end,
        "png of no zlib stream": header + png_chunk(b"IDAT", b"\xff" * 100) + end,
        "png of too few rows": png(200, 200, bytes(100)),
        "png of depth 7": png(2, 2, bytes(14), depth=7),
        "png of colour 5": png(2, 2, bytes(14), colour=5),
        "png without a header": PNG_MAGIC + png_chunk(b"IDAT", data) + end,
        "png of a short header": PNG_MAGIC + png_chunk(b"IHDR", b"\0\0\0\2") + png_chunk(b"IDAT", data) + end,
        "png with a bomb for a profile": plain_png(png_chunk(b"iCCP", b"p\0\0" + bomb)),
        "png with a bomb for a text": plain_png(png_chunk(b"zTXt", b"t\0\0" + bomb)),
        "png with a bomb for a wide text": plain_png(png_chunk(b"iTXt", b"t\0\1\0\0\0" + bomb)),
        "png with a hundred bombs": plain_png(*[png_chunk(b"zTXt", b"t\0\0" + bomb)] * 100),
        "png with a broken name of a chunk": plain_png(png_chunk(b"\0\0\0\0", b"")),
    }


def _broken_others() -> dict[str, bytes]:
    jpeg = encoded(photo(), "JPEG")
    start = jpeg[:2]
    return {
        "jpeg magic alone": b"\xff\xd8\xff",
        "jpeg without a scan": jpeg[: jpeg.find(b"\xff\xda")] + b"\xff\xd9",
        "jpeg of markers alone": start + b"\xff\xe0\0\x10" * 5000,
        "jpeg of a short marker": start + b"\xff\xc0\0\x02" + b"\xff\xd9",
        "jpeg of fill bytes": start + b"\xff" * 100_000,
        "jpeg of random bytes": start + b"\xff" + random.Random(1).randbytes(5000),
        "jpeg without tables": start + jpeg[jpeg.find(b"\xff\xc0") :],
        "jpeg of 12 bits": jpeg.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
        "jpeg of 0 components": jpeg.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x08\x08"),
        "webp magic alone": b"RIFF\0\0\0\0WEBP",
        "webp of an unknown chunk": riff(riff_chunk(b"EVIL", bytes(100))),
        "webp of a huge chunk": riff(b"VP8 \xff\xff\xff\x7f" + bytes(100)),
        "webp of random bytes": riff(riff_chunk(b"VP8L", b"\x2f" + random.Random(2).randbytes(5000))),
        "webp of zeros": riff(riff_chunk(b"VP8 ", bytes(1000))),
    }


@cache
def refused_files() -> dict[str, bytes]:
    """Files that are no still image in a format that is read, by what is wrong with them."""
    return {
        **_sizes_that_lie(), **_truncated(), **_animated(), **_other_formats(), **_broken_png(), **_broken_others(),
    }  # fmt: skip


@cache
def odd_files() -> dict[str, bytes]:
    """Files that are images and something else, or were damaged at random."""
    bomb = png(40, 40, bytes(100_000_000))
    whole = {
        "jpeg": encoded(photo(), "JPEG"),
        "progressive": encoded(photo(), "JPEG", progressive=True),
        "png": encoded(photo(), "PNG"),
        "palette": encoded(photo().convert("P"), "PNG"),
        "webp": encoded(photo(), "WEBP"),
        "lossless": encoded(photo(), "WEBP", lossless=True),
    }
    files = {
        "png with rows without end": bomb,
        "png with an unknown critical chunk": plain_png(png_chunk(b"EVIL", b"x" * 100)),
        "png and zip": plain_png() + b"PK\x03\x04" + bytes(100),
        "png and html": plain_png() + b"<script>alert(1)</script>",
        "jpeg and php": encoded(photo(), "JPEG", comment=b"<?php system('id'); ?>") + b"PK\x05\x06" + bytes(18),
        "jpeg with a broken exif": encoded(photo(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
        "png with a broken exif": plain_png(png_chunk(b"eXIf", b"II*\0\xff\xff\xff\x7f")),
        "png with a broken profile": plain_png(png_chunk(b"iCCP", b"p\0\0broken")),
        "jpeg with a second image": jpeg_with_second_image(),
    }
    rng = random.Random(20261121)
    for name, content in whole.items():
        for number in range(25):
            files[f"{name} with mutation {number}"] = _mutated(content, rng)
    return files


def jpeg_with_second_image() -> bytes:
    """What phones write: a photo, and behind it another image that belongs to it."""
    return encoded(photo(), "MPO", save_all=True, append_images=[photo(30, 20, seed=1)])


def _mutated(content: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 2, 8, 40))):
        place = rng.randrange(len(damaged))
        match rng.randrange(4):
            case 0:
                damaged[place] = rng.randrange(256)
            case 1:
                damaged[place] ^= 1 << rng.randrange(8)
            case 2:
                del damaged[place : place + rng.randrange(1, 20)]
            case _:
                damaged[place:place] = rng.randbytes(rng.randrange(1, 20))
    return bytes(damaged) or b"\0"
