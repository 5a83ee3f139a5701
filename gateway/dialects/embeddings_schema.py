"""Describes `/v1/embeddings` for `/openapi.json`. Never used to check a request or to build an answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class TextObject(BaseModel):
    text: str


class EmbeddingsRequest(BaseModel):
    """Unknown fields are ignored, and null means the same as leaving a field out."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"model": "all-MiniLM-L6-v2", "input": ["A first text.", "A second text."]}]},
    )

    input: Annotated[
        str
        | list[str]
        | list[Annotated[int, Field(ge=0)]]
        | list[list[Annotated[int, Field(ge=0)]]]
        | list[TextObject],
        Field(
            description="One text, several texts, one input as token ids, or several inputs as token ids. "
            "A flat list of integers is one input."
        ),
    ]
    model: str | None = Field(
        None,
        description="Short name, hub id or alias, whatever the case. Left out: the default model.",
    )
    dimensions: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Cut vectors to this size and make them unit length again; at most the model's own size."
    )
    encoding_format: str | None = Field(
        None,
        description="`float` (the default) or `base64`, whatever the case. base64 is little-endian float32.",
        examples=["float", "base64"],
    )
    truncate: bool | None = Field(
        None, description="Cut a text that is longer than the model's window instead of refusing it."
    )
    token_vocabulary: str | None = Field(
        None,
        description="Whose token ids `input` holds: `cl100k_base` or `model`. The header `x-token-vocabulary` says it "
        "too. Left out: what the operator set, `cl100k_base` unless changed.",
        examples=["cl100k_base", "model"],
    )
    user: Any = Field(None, description="Ignored.")


class EmbeddingItem(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str = Field(description="A list of numbers, or a base64 string where that was asked for.")


class EmbeddingsUsage(BaseModel):
    prompt_tokens: int = Field(description="Tokens by the model's own tokenizer, special tokens included.")
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    object: Literal["list"]
    data: list[EmbeddingItem] = Field(description="One item per input, in input order.")
    model: str
    usage: EmbeddingsUsage
