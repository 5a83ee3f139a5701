"""A file's format is known by its first bytes."""

from __future__ import annotations

import pytest

from gateway.images.headers import ImageFormat, image_format, is_pdf
from tests.support.hostile_images import encoded, photo


@pytest.mark.parametrize("expected", list(ImageFormat))
def test_the_formats_that_are_read(expected: ImageFormat) -> None:
    assert image_format(encoded(photo(), expected.value)) is expected


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"RIFF....WAVE", b"GIF89a", b"II*\0", b" \x89PNG\r\n\x1a\n"])
def test_all_else_is_none_of_them(content: bytes) -> None:
    assert image_format(content) is None


def test_a_pdf_is_known_for_one() -> None:
    assert is_pdf(b"\xef\xbb\xbf%PDF-1.7")
    assert not is_pdf(b"%!PS")
