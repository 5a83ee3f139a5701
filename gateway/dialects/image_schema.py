"""Describes the forms in which a request may hold an image, for `/openapi.json`. Never used to check a request."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Address = Annotated[str, Field(description="An http(s) URL, a data URI, or the file's bytes in base64.")]
Bytes = Annotated[str, Field(description="The file's bytes in base64, or a data URI.")]


class ImageObject(BaseModel):
    """A PNG, JPEG or WebP image of one frame."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"image": "https://example.org/a.png"}]})

    image: Address
    type: Literal["image"] | None = None


class ImageByUrl(BaseModel):
    model_config = ConfigDict(extra="allow")

    url: Address


class ImageUrl(BaseModel):
    """As in OpenAI's messages."""

    model_config = ConfigDict(extra="allow")

    image_url: Address | ImageByUrl
    type: Literal["image_url", "input_image"] | None = None


class ImageByBytes(BaseModel):
    model_config = ConfigDict(extra="allow")

    bytes: Bytes


class ImageInBase64(BaseModel):
    model_config = ConfigDict(extra="allow")

    image_base64: Bytes


class ImageValue(BaseModel):
    """As Elasticsearch sends it."""

    model_config = ConfigDict(extra="allow")

    type: Literal["image"]
    value: Bytes
    format: Literal["base64"] | None = None


AnyImage = ImageObject | ImageByUrl | ImageUrl | ImageByBytes | ImageInBase64 | ImageValue
