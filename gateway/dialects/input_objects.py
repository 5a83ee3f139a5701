"""Reads one input that is given as an object: a text or an image, in the forms of Jina's, OpenAI's and other APIs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.dialects.fields import kind_of
from gateway.errors import InvalidField
from gateway.images.encoded import decode_image
from gateway.types import ImageInput, TextInput

UNSUPPORTED = "unsupported_modality"

# Where an image may stand: as an address, a data URI or base64; under the others, the file's bytes alone.
_ADDRESS_KEYS = ("image", "image_url", "url")
_BYTES_KEYS = ("bytes", "image_base64")
# Elasticsearch's name for the bytes; by itself it says nothing about what it holds.
_VALUE_KEY = "value"

_TEXT_TYPES = ("text", "input_text")
_IMAGE_TYPES = ("image", "image_url", "image_base64", "input_image")

_PDF = "is a PDF, and none is read here. Render its pages as PNG or JPEG and send each page as an image of its own."
_AUDIO = "is audio, and none is read here. Send what is said in it as a text."
_VIDEO = "is a video, and none is read here. Send single frames of it as images."
_OTHER_MEDIA: Mapping[str, str] = {
    "pdf": _PDF,
    **dict.fromkeys(("audio", "audio_base64", "audio_url", "input_audio"), _AUDIO),
    **dict.fromkeys(("video", "video_base64", "video_url", "input_video"), _VIDEO),
}
_ONE_AN_ITEM = "The models here give each text and each image a vector of its own: send them as separate items."

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:")


def read_object(item: Mapping[str, Any], *, where: str, param: str, max_image_bytes: int) -> TextInput | ImageInput:
    """The text or the image that `item` is. An image's bytes are decoded, an address is left to whoever fetches it.

    `where` says whose item it is, as a sentence begins; `param` names the field. Raises `InvalidField`, and for bytes
    that cannot be decoded `InvalidImage`.
    """
    kind = item.get("type")
    _refuse_what_is_not_read(item, kind, where=where, param=param)
    sources = _image_sources(item, kind)
    text = item.get("text")
    if sources and text is not None:
        raise InvalidField(f"{where} has both a text and an image. {_ONE_AN_ITEM}", param=param, code=UNSUPPORTED)
    if sources:
        return _image(sources, item, where=where, param=param, max_bytes=max_image_bytes)
    if isinstance(text, str) and kind in (None, *_TEXT_TYPES):
        return TextInput(text)
    raise InvalidField(
        f"{where} is an object, so it needs a string field 'text' or 'image', and a 'type', if it has one, that says "
        "the same.",
        param=param,
    )


def is_media(item: Mapping[str, Any]) -> bool:
    """Whether an object is, or says that it is, something else than a text."""
    kind = item.get("type")
    keys = (*_ADDRESS_KEYS, *_BYTES_KEYS, *_OTHER_MEDIA)
    return kind not in (None, *_TEXT_TYPES) or any(item.get(key) is not None for key in keys)


def _refuse_what_is_not_read(item: Mapping[str, Any], kind: Any, *, where: str, param: str) -> None:
    for name, sentence in _OTHER_MEDIA.items():
        if kind == name or item.get(name) is not None:
            raise InvalidField(f"{where} {sentence}", param=param, code=UNSUPPORTED)
    if isinstance(item.get("content"), list):
        raise InvalidField(
            f"{where} asks for one vector of several parts. {_ONE_AN_ITEM}", param=param, code=UNSUPPORTED
        )


def _image_sources(item: Mapping[str, Any], kind: Any) -> list[str]:
    """The fields that hold an image."""
    keys = (*_ADDRESS_KEYS, *_BYTES_KEYS, *((_VALUE_KEY,) if kind in _IMAGE_TYPES else ()))
    return [key for key in keys if item.get(key) is not None]


def _image(sources: list[str], item: Mapping[str, Any], *, where: str, param: str, max_bytes: int) -> ImageInput:
    key = sources[0]
    if len(sources) > 1:
        raise InvalidField(f"{where} holds an image in '{key}' and another in '{sources[1]}'. Send one.", param=param)
    if item.get("type") not in (None, *_IMAGE_TYPES):
        raise InvalidField(f"{where} holds an image, so its 'type' has to be 'image' or left out.", param=param)
    if key == _VALUE_KEY and item.get("format") not in (None, "base64"):
        raise InvalidField(f"{where} holds an image in a 'format' that is not read here. Send 'base64'.", param=param)
    value = item[key]
    if key == "image_url" and isinstance(value, Mapping):
        value = value.get("url")
    if not isinstance(value, str):
        raise InvalidField(f"The image of {where} has to be a string in '{key}', not {kind_of(value)}.", param=param)
    address = value.strip() if key in _ADDRESS_KEYS else value
    if key in _ADDRESS_KEYS and _is_address(address):
        return ImageInput(url=address)
    return ImageInput(data=decode_image(address, where=where, param=param, max_bytes=max_bytes))


def _is_address(text: str) -> bool:
    """Whether it begins with a scheme other than that of data. Base64 never does: it has no colon."""
    scheme = _SCHEME.match(text)
    return scheme is not None and scheme[0].lower() != "data:"
