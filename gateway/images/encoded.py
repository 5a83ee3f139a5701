"""Images that come as text: base64 in the forms that clients write it in, by itself or in a data URI.

Requests have them in fields that are for images, which the dialects read, and as bare strings, of which only the
service knows whether the model reads images. Decoding holds the interpreter: 10 MB take 60 ms (Zen 5, 2026-11).
"""

from __future__ import annotations

from binascii import Error as MalformedBase64
from binascii import a2b_base64

from gateway.errors import InvalidImage

_DATA_SCHEME = "data:"
_IMAGE_SCHEME = "data:image/"
_BASE64_MARK = ";base64"

_URL_SAFE_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n\f\v"


def is_data_uri(text: str) -> bool:
    return text[: len(_DATA_SCHEME)].lower() == _DATA_SCHEME


def is_image_uri(text: str) -> bool:
    """Whether a string is a data URI that says it holds an image."""
    return text[: len(_IMAGE_SCHEME)].lower() == _IMAGE_SCHEME


def decode_image(text: str, *, where: str, param: str, max_bytes: int) -> bytes:
    """The file's bytes, of a data URI or of base64 in the standard or the URL-safe alphabet, padded or not, with or
    without white space.

    `where` says whose it is, as a sentence begins, and `param` names the field. The size is known, and checked, before
    anything is decoded. Raises `InvalidImage`.
    """
    letters = _letters(_payload(text, where=where, param=param), where=where, param=param)
    if not letters:
        raise InvalidImage(f"{where} is an image without any bytes. Send the file's bytes in base64.", param=param)
    if len(letters) * 3 // 4 > max_bytes:
        raise InvalidImage(
            f"{where} is an image of more than {max_bytes} bytes, the most that is read here. Send a smaller one.",
            param=param,
        )
    try:
        return a2b_base64(letters + b"=" * (-len(letters) % 4), strict_mode=True)
    except MalformedBase64:
        raise _no_base64(where=where, param=param) from None


def _payload(text: str, *, where: str, param: str) -> str:
    """What is to be decoded: all of it, or of a data URI what follows its comma."""
    if not is_data_uri(text):
        return text
    header, comma, payload = text.partition(",")
    if not comma or not header.rstrip().lower().endswith(_BASE64_MARK):
        raise InvalidImage(
            f"{where} is a data URI that holds no base64. Write it as data:image/png;base64,... .", param=param
        )
    return payload


def _letters(text: str, *, where: str, param: str) -> bytes:
    """`text` in the standard alphabet, without padding and white space. Two passes over it, however it is made."""
    try:
        return text.encode("ascii").translate(_URL_SAFE_TO_STANDARD, _WHITE_SPACE).rstrip(b"=")
    except UnicodeEncodeError:
        raise _no_base64(where=where, param=param) from None


def _no_base64(*, where: str, param: str) -> InvalidImage:
    return InvalidImage(
        f"{where} is an image that is neither an http(s) URL nor a data URI nor base64. Send one of these.", param=param
    )
