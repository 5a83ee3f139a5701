"""Images as text are decoded in every form that clients write, and what is none of them is refused in words."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidImage
from gateway.images.encoded import decode_image, is_data_uri, is_image_uri

DATA = b"\x89PNG\xfb\xff\xfe?>\x00"
STANDARD = base64.b64encode(DATA).decode()
URL_SAFE = base64.urlsafe_b64encode(DATA).decode()


def decode(text: str, max_bytes: int = 1000) -> bytes:
    return decode_image(text, where="'input[3]'", param="input", max_bytes=max_bytes)


def test_the_two_alphabets_differ_here() -> None:
    assert STANDARD != URL_SAFE
    assert STANDARD.endswith("=")


@pytest.mark.parametrize("encoded", [STANDARD, URL_SAFE, STANDARD.rstrip("="), f"{STANDARD[:5]}\r\n {STANDARD[5:]}\n"])
@pytest.mark.parametrize(
    "prefix",
    ["", "data:image/png;base64,", "DATA:Image/PNG;Base64,", "data:;base64,", "data:image/png;charset=x;base64 ,"],
)
def test_every_form_gives_the_files_bytes(encoded: str, prefix: str) -> None:
    assert decode(prefix + encoded) == DATA


@given(
    data=st.binary(min_size=1, max_size=200),
    is_url_safe=st.booleans(),
    is_padded=st.booleans(),
    gaps=st.lists(st.tuples(st.integers(0, 400), st.sampled_from(" \n\r\t"))),
)
def test_any_bytes_survive_any_writing(
    data: bytes, is_url_safe: bool, is_padded: bool, gaps: list[tuple[int, str]]
) -> None:
    text = (base64.urlsafe_b64encode if is_url_safe else base64.b64encode)(data).decode()
    text = text if is_padded else text.rstrip("=")
    for position, gap in gaps:
        text = text[:position] + gap + text[position:]
    assert decode(text) == data


@pytest.mark.parametrize(
    "text",
    ["A", "AAAAA", "AA=A", "=AAA", "AAAA!", "caf\u00e9", "AAAA\ud83d", "/no/file.png", "//host/a.png", "AA\x00A",
     "data:image/png;base64,AAAA,AAAA", "data:image/png;base64,!"],
)  # fmt: skip
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(InvalidImage, match=r"^'input\[3\]' is an image that is neither") as caught:
        decode(text)
    assert (caught.value.param, caught.value.code) == ("input", "invalid_image")


@pytest.mark.parametrize("text", ["data:image/png,AAAA", "data:image/png;base64", "data:", "data:image/svg+xml;utf8,x"])
def test_a_data_uri_has_to_hold_base64(text: str) -> None:
    with pytest.raises(InvalidImage, match="data URI that holds no base64"):
        decode(text)


@pytest.mark.parametrize("text", ["", "====", " \n", "data:image/png;base64,", "data:image/png;base64, =="])
def test_nothing_is_no_image(text: str) -> None:
    with pytest.raises(InvalidImage, match="without any bytes"):
        decode(text)


@pytest.mark.parametrize("size", [97, 98, 99, 100])
def test_the_limit_is_one_of_decoded_bytes(size: int) -> None:
    text = base64.b64encode(bytes(size)).decode()
    assert len(decode("\n".join(text), max_bytes=size)) == size
    with pytest.raises(InvalidImage, match=f"more than {size - 1} bytes"):
        decode(text, max_bytes=size - 1)


def test_the_size_is_checked_before_anything_is_decoded() -> None:
    with pytest.raises(InvalidImage, match="more than 10 bytes"):
        decode("!" * 100, max_bytes=10)


@pytest.mark.parametrize(
    ("text", "data_uri", "image_uri"),
    [
        ("data:image/png;base64,AAAA", True, True),
        ("DATA:IMAGE/webp;base64,AAAA", True, True),
        ("data:application/pdf;base64,AAAA", True, False),
        ("data:text/plain,a", True, False),
        ("data: a column of numbers", True, False),
        ("https://example.org/data:image/", False, False),
        (" data:image/png", False, False),
        ("", False, False),
    ],
)
def test_which_strings_are_data_uris(text: str, data_uri: bool, image_uri: bool) -> None:
    assert (is_data_uri(text), is_image_uri(text)) == (data_uri, image_uri)
