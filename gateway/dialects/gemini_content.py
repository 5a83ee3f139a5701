"""Reads a content of Gemini's: an object of parts, of which each input has one here, a text or an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.dialects.fields import given, kind_of
from gateway.dialects.input_objects import UNSUPPORTED, read_object
from gateway.dialects.inputs import InputLimits
from gateway.errors import InvalidField
from gateway.types import ImageInput, TextInput

Item = TextInput | ImageInput

_FORM = 'an object {"parts": [{"text": ...}]}'

# The fields under which `read_object` knows a blob: an image, or what it refuses by the start of its media type.
_IMAGE = "image_base64"
_REFUSED = (("application/pdf", "pdf"), ("audio/", "audio"), ("video/", "video"))


def read_content(value: Any, *, name: str, limits: InputLimits) -> Item:
    """The one text or image of a content; `name` says which content it is. Raises `InvalidField`, `InvalidImage`."""
    return _item(_part(value, name=name), name=name, limits=limits)


def read_text(value: Any, *, name: str, limits: InputLimits) -> str:
    """The text of a content, all of its parts together. Raises `InvalidField`."""
    items = [_item(part, name=name, limits=limits) for part in _parts(value, name=name)]
    if not all(isinstance(item, TextInput) for item in items):
        raise InvalidField(f"'{name}' has to hold texts alone here.", param="contents", code=UNSUPPORTED)
    return "".join(item.text for item in items if isinstance(item, TextInput))


def _part(value: Any, *, name: str) -> Mapping[str, Any]:
    parts = _parts(value, name=name)
    if len(parts) > 1:
        raise InvalidField(
            f"'{name}' has {len(parts)} parts. The models here give each text and each image a vector of its own: "
            "send each part as a content of its own, by `:batchEmbedContents`.",
            param="content",
            code=UNSUPPORTED,
        )
    return parts[0]


def _parts(value: Any, *, name: str) -> list[Mapping[str, Any]]:
    """The parts of a content, one at least; a bare string is one, and so is a list's only one outside its list."""
    if isinstance(value, str):
        return [{"text": value}]
    if not isinstance(value, Mapping):
        problem = "is missing" if value is None else f"has to be an object, not {kind_of(value)}"
        raise InvalidField(f"'{name}' {problem}. Give {_FORM}.", param="content")
    parts = value.get("parts")
    parts = [parts] if isinstance(parts, Mapping | str) else parts
    if not isinstance(parts, list) or not parts:
        raise InvalidField(f"'{name}' has no parts. Give {_FORM}.", param="content")
    parts = [{"text": part} if isinstance(part, str) else part for part in parts]
    if not all(isinstance(part, Mapping) for part in parts):
        raise InvalidField(f"'{name}.parts' has to hold objects. Give {_FORM}.", param="content")
    return parts


def _item(part: Mapping[str, Any], *, name: str, limits: InputLimits) -> Item:
    fields: dict[str, Any] = {}
    if part.get("text") is not None:
        fields["text"] = part["text"]
    inline = _object(part, "inlineData", "inline_data", name=name)
    if inline is not None:
        fields[_kind(inline)] = inline.get("data") or ""
    file = _object(part, "fileData", "file_data", name=name)
    if file is not None:
        fields["url"] = given(file, "fileUri", "file_uri")[1] or ""
    if not fields:
        raise InvalidField(
            f"A part of '{name}' has to have 'text', 'inlineData' or 'fileData': a text or an image.", param="content"
        )
    return read_object(fields, where=f"'{name}'", param="content", max_image_bytes=limits.max_image_bytes)


def _object(part: Mapping[str, Any], *names: str, name: str) -> Mapping[str, Any] | None:
    field, value = given(part, *names)
    if value is None or isinstance(value, Mapping):
        return value
    raise InvalidField(f"'{name}': '{field}' has to be an object, not {kind_of(value)}.", param="content")


def _kind(inline: Mapping[str, Any]) -> str:
    """What a blob is by its media type; one without a type, or of a type that nobody knows, is taken for an image."""
    media_type = given(inline, "mimeType", "mime_type")[1]
    if not isinstance(media_type, str):
        return _IMAGE
    return next((field for start, field in _REFUSED if media_type.lower().startswith(start)), _IMAGE)
