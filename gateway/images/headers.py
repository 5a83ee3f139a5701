"""What the first bytes of a file tell, which is all of a file that the gateway's own process looks at."""

from __future__ import annotations

from enum import Enum


class ImageFormat(Enum):
    """The formats that are read, by Pillow's words for them."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"


_PDF_WITHIN = 1024


def image_format(content: bytes) -> ImageFormat | None:
    """The format that a file's first bytes announce; None where it is none that is read here."""
    if content.startswith(b"\xff\xd8\xff"):
        return ImageFormat.JPEG
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return ImageFormat.PNG
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return ImageFormat.WEBP
    return None


def is_pdf(content: bytes) -> bool:
    """Whether it is a PDF file. Readers accept some bytes before its mark."""
    return b"%PDF-" in content[:_PDF_WITHIN]
