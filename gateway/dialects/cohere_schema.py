"""Describes Cohere's API for `/openapi.json`. Never used to check a request or to build an answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

TypeName = Literal["float", "int8", "uint8", "binary", "ubinary", "base64"]


class CohereError(BaseModel):
    message: str
    id: str = Field(description="The request's id, as in the header `x-request-id`.")


class CoherePart(BaseModel):
    model_config = ConfigDict(extra="allow")

    type: Literal["text", "image_url"] | None = None
    text: str | None = None
    image_url: str | dict[str, Any] | None = None


class CohereInput(BaseModel):
    content: str | list[CoherePart] = Field(description="One part: a text or an image.")


class CohereEmbedRequest(BaseModel):
    """Unknown fields are ignored, and null means the same as leaving a field out."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {"model": "all-MiniLM-L6-v2", "input_type": "search_document", "texts": ["A text."]},
                {"model": "all-MiniLM-L6-v2", "texts": ["A text."], "embedding_types": ["float", "int8", "ubinary"]},
            ]
        },
    )

    model: str | None = Field(None, description="Any name of a model. Left out: the default one.")
    texts: list[str] | None = Field(None, description="One of `texts`, `images` and `inputs` has to be given.")
    images: list[str] | None = Field(None, description="Data URIs or URLs, for a model that reads images.")
    inputs: list[CohereInput] | None = None
    input_type: str | None = Field(
        None,
        description="`search_query`, `search_document`, `classification`, `clustering` or `image`. A model without the "
        "task takes the next best one.",
    )
    embedding_types: list[TypeName] | None = Field(
        None,
        description="`int8` is each value times 127 sqrt(size) / 4, rounded and cut off at 127; `uint8` is that plus "
        "128. Bits are set where a value is above zero, the first in the highest bit; `binary` is `ubinary` less 128.",
    )
    output_dimension: int | None = Field(None, description="Cut vectors to this size, at unit length again.")
    truncate: Literal["NONE", "START", "END"] | None = Field(
        None, description="What is cut off a text that is too long; NONE refuses it. Left out: END."
    )


class CohereMeta(BaseModel):
    api_version: dict[str, str]
    billed_units: dict[str, int]
    warnings: list[str] | None = None


class CohereFloats(BaseModel):
    id: str
    embeddings: list[list[float]]
    texts: list[str]
    meta: CohereMeta
    response_type: Literal["embeddings_floats"]


class CohereByType(BaseModel):
    id: str
    embeddings: dict[TypeName, list[list[float]] | list[str]]
    texts: list[str]
    meta: CohereMeta
    response_type: Literal["embeddings_by_type"]


class CohereRerankRequest(BaseModel):
    """Unknown fields are ignored, and null means the same as leaving a field out."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"query": "What is the capital of France?", "documents": ["Paris.", "Rome."]}]},
    )

    query: str
    documents: list[str | dict[str, Any]]
    model: str | None = None
    top_n: int | None = Field(None, description="How many of the best documents. Left out, or 0: all.")
    max_tokens_per_doc: int | None = Field(None, description="Cut documents to so many tokens first.")
    return_documents: bool | None = Field(None, description="True: repeat the documents, as objects.")


class CohereRerankItem(BaseModel):
    index: int
    relevance_score: float = Field(description="From 0 to 1, unless `raw_scores` asks for what the model gives.")
    document: dict[str, Any] | None = Field(
        None, description="`text`, and what else was sent. Left out where it is not asked for."
    )


class CohereRerankResponse(BaseModel):
    id: str
    results: list[CohereRerankItem] = Field(description="By falling score.")
    meta: CohereMeta


class CohereTokenizeRequest(BaseModel):
    model_config = ConfigDict(extra="allow")

    text: str
    model: str | None = None


class CohereTokens(BaseModel):
    tokens: list[int]
    token_strings: list[str]
    meta: CohereMeta


class CohereDetokenizeRequest(BaseModel):
    model_config = ConfigDict(extra="allow")

    tokens: list[int]
    model: str | None = None


class CohereText(BaseModel):
    text: str
    meta: CohereMeta


class CohereKeyCheck(BaseModel):
    valid: bool
