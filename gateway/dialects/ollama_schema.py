"""Describes Ollama's API for `/openapi.json`. Never used to check a request or to build an answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class OllamaError(BaseModel):
    """What every refusal here looks like."""

    error: str


class OllamaEmbedRequest(BaseModel):
    """Unknown fields are ignored, and null means the same as leaving a field out."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"examples": [{"model": "all-MiniLM-L6-v2", "input": ["A text.", "Another."]}]}
    )

    model: str | None = Field(None, description="With or without `:latest`. Also `name`. Left out: the default model.")
    input: str | list[str] | None = Field(
        None, description="Texts; nothing, or an empty string, is answered with no vectors. Also `prompt`."
    )
    truncate: bool | None = Field(None, description="False: a text that is too long is refused. Left out: it is cut.")
    dimensions: int | None = Field(
        None, description="Cut vectors to this size, at unit length again. As in Ollama, larger ones change nothing."
    )
    options: dict[str, Any] | None = Field(
        None, description="`task` and `input_type` are heeded as beside it; all other options are ignored."
    )
    keep_alive: str | float | None = Field(None, description="Ignored: models stay loaded.")
    task: str | None = Field(None, description="What the vectors are for; this gateway's own field.")
    input_type: str | None = Field(None, description="The side of a search; this gateway's own field.")


class OllamaEmbedResponse(BaseModel):
    """Durations are in nanoseconds. What is zero is left out."""

    model: str
    embeddings: list[list[float]]
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None


class OllamaEmbeddingsRequest(BaseModel):
    model_config = ConfigDict(extra="allow")

    model: str | None = None
    prompt: str | None = Field(None, description="One text. Also `input`.")
    options: dict[str, Any] | None = None
    keep_alive: str | float | None = None


class OllamaEmbeddingsResponse(BaseModel):
    embedding: list[float]


class OllamaModelRequest(BaseModel):
    model_config = ConfigDict(extra="allow")

    model: str | None = Field(None, description="Also `name`.")


class OllamaPullRequest(OllamaModelRequest):
    stream: bool | None = Field(None, description="False: one object. Left out: a line of JSON for each step.")


class OllamaStatus(BaseModel):
    status: str


class OllamaDetails(BaseModel):
    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str
    context_length: int
    embedding_length: int | None = None


class OllamaModel(BaseModel):
    name: str
    model: str
    modified_at: str | None = None
    size: int
    digest: str
    details: OllamaDetails
    capabilities: list[str] | None = None


class OllamaTags(BaseModel):
    models: list[OllamaModel]


class OllamaRunningModel(OllamaModel):
    expires_at: str
    size_vram: int
    context_length: int


class OllamaRunning(BaseModel):
    models: list[OllamaRunningModel]


class OllamaShow(BaseModel):
    license: str
    modelfile: str
    parameters: str
    template: str
    details: OllamaDetails
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str


class OllamaVersion(BaseModel):
    version: str
