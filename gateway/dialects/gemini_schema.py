"""Describes Gemini's API for `/openapi.json`. Never used to check a request or to build an answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

_CAMEL = ConfigDict(alias_generator=to_camel)

_EXAMPLE: JsonValue = {
    "content": {"parts": [{"text": "A harbour in the morning."}]},
    "taskType": "RETRIEVAL_DOCUMENT",
    "outputDimensionality": 256,
}


class GeminiErrorBody(BaseModel):
    code: int = Field(description="The HTTP status.")
    message: str
    status: str = Field(examples=["INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"])
    details: list[dict[str, Any]] = Field(
        description="`ErrorInfo` with the gateway's code, `RequestInfo`, `BadRequest` naming the field, `RetryInfo`."
    )


class GeminiError(BaseModel):
    error: GeminiErrorBody


class GeminiBlob(BaseModel):
    model_config = _CAMEL

    mime_type: str | None = None
    data: str = Field(description="The file's bytes in base64.")


class GeminiFile(BaseModel):
    model_config = _CAMEL

    mime_type: str | None = None
    file_uri: str = Field(description="An http(s) URL of an image.")


class GeminiPart(BaseModel):
    """A text or, for a model that reads them, an image."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    text: str | None = None
    inline_data: GeminiBlob | None = None
    file_data: GeminiFile | None = None


class GeminiContent(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    parts: list[GeminiPart] = Field(description="One part: each text and each image gets a vector of its own.")


class GeminiRequest(BaseModel):
    """Names may be written in snake case as well. Unknown fields are ignored, and null means the same as leaving one
    out."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow", json_schema_extra={"examples": [_EXAMPLE]})

    model: str | None = Field(None, description="The model of the address again, or left out.")
    content: GeminiContent
    task_type: str | int | None = Field(
        None,
        description="RETRIEVAL_QUERY, RETRIEVAL_DOCUMENT, SEMANTIC_SIMILARITY, CLASSIFICATION, CLUSTERING, "
        "QUESTION_ANSWERING, FACT_VERIFICATION or CODE_RETRIEVAL_QUERY. A model without the task takes the next best "
        "one.",
    )
    title: str | None = Field(None, description="Ignored.")
    output_dimensionality: int | None = Field(None, description="Cut vectors to this size, at unit length again.")
    auto_truncate: bool | None = Field(
        None, description="False refuses a text that is longer than the model's window. Left out: it is cut."
    )
    embed_content_config: dict[str, Any] | None = Field(
        None, description="The same fields once more, where newer clients have them."
    )


class GeminiBatchRequest(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="allow", json_schema_extra={"examples": [{"requests": [_EXAMPLE]}]}
    )

    requests: list[GeminiRequest]


class GeminiValues(BaseModel):
    values: list[float]


class GeminiUsage(BaseModel):
    model_config = _CAMEL

    prompt_token_count: int


class GeminiResponse(BaseModel):
    model_config = _CAMEL

    embedding: GeminiValues
    usage_metadata: GeminiUsage


class GeminiBatchResponse(BaseModel):
    model_config = _CAMEL

    embeddings: list[GeminiValues]
    usage_metadata: GeminiUsage


class GeminiCountRequest(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    contents: list[GeminiContent] | None = None
    generate_content_request: dict[str, Any] | None = Field(None, description="An object with `contents` in it.")


class GeminiCountResponse(BaseModel):
    model_config = _CAMEL

    total_tokens: int


class GeminiModel(BaseModel):
    model_config = _CAMEL

    name: str = Field(examples=["models/all-MiniLM-L6-v2"])
    base_model_id: str
    version: str
    display_name: str
    description: str
    input_token_limit: int
    output_token_limit: int
    supported_generation_methods: list[str]


class GeminiModels(BaseModel):
    models: list[GeminiModel]
