"""Describes Voyage's multimodal embeddings for `/openapi.json`. Never used to check a request or to build an answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

_EXAMPLE: JsonValue = {
    "model": "jina-embeddings-v4",
    "input_type": "document",
    "inputs": [
        {"content": [{"type": "text", "text": "A harbour in the morning."}]},
        {"content": [{"type": "image_url", "image_url": "https://example.org/harbour.jpg"}]},
    ],
}


class VoyagePart(BaseModel):
    model_config = ConfigDict(extra="allow")

    type: Literal["text", "image_url", "image_base64"]
    text: str | None = None
    image_url: str | None = None
    image_base64: str | None = Field(None, description="A data URI.")


class VoyageInput(BaseModel):
    content: list[VoyagePart] = Field(description="One part: each text and each image gets a vector of its own.")


class VoyageRequest(BaseModel):
    """Unknown fields are ignored, and null means the same as leaving a field out."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_EXAMPLE]})

    inputs: list[VoyageInput]
    model: str | None = Field(None, description="Any name of a model. Left out: the default one.")
    input_type: Literal["query", "document"] | None = None
    truncation: bool | None = Field(
        None, description="False refuses a text that is longer than the model's window. Left out: it is cut."
    )
    output_dimension: int | None = Field(None, description="Cut vectors to this size, at unit length again.")
    output_encoding: Literal["base64"] | None = Field(
        None, description="Little-endian float32 in base64; left out: lists of numbers. Also `encoding_format`."
    )
    user: Any = Field(None, description="Ignored.")


class VoyageItem(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class VoyageUsage(BaseModel):
    text_tokens: int
    image_pixels: int = Field(description="Always 0: pixels are not counted here.")
    video_pixels: int = Field(description="Always 0.")
    total_tokens: int = Field(description="Those of images among them.")


class VoyageResponse(BaseModel):
    object: Literal["list"]
    data: list[VoyageItem]
    model: str
    usage: VoyageUsage
