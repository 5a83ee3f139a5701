"""Describes vLLM's paths for `/openapi.json`. Never used to check a request or to build an answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.dialects.embeddings_schema import Conversation, EmbedDtype, Endianness

ScoreItem = str | dict[str, Any]


class VllmErrorBody(BaseModel):
    message: str
    type: str
    param: str | None
    code: int = Field(description="The HTTP status.")


class VllmError(BaseModel):
    error: VllmErrorBody


class _Kept(BaseModel):
    """Unknown fields are ignored, and null means the same as leaving a field out."""

    model_config = ConfigDict(extra="allow")

    model: str | None = None
    truncate_prompt_tokens: int | None = Field(
        None,
        ge=-1,
        description="Keep this many tokens of what is too long, special tokens included; -1: as many as the model "
        "reads. Left out: embedding models refuse it, rerankers read it as the server is set.",
    )
    truncation_side: Literal["left", "right"] | None = Field(
        None, description="Which end is cut off, for embedding models. Left out: `right`."
    )
    use_activation: bool | None = Field(
        None,
        description="False: what the model gives as it is, a reranker's logit or a vector of any length. Left out: "
        "true.",
    )


class VllmScoreRequest(_Kept):
    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"examples": [{"queries": "What is the capital of France?", "documents": ["Paris."]}]},
    )

    queries: ScoreItem | list[ScoreItem] | None = Field(
        None, description="One for all documents, or as many. Also `data_1`, `text_1`."
    )
    documents: ScoreItem | list[ScoreItem] | None = Field(
        None,
        description='Texts, or objects `{"content": [...]}`. Also `items`; beside `data_1` `data_2`, beside '
        "`text_1` `text_2`.",
    )
    max_tokens_per_doc: int | None = Field(
        None, ge=0, description="For rerankers: cut documents to this many tokens first; 0 does not."
    )


class VllmUsage(BaseModel):
    prompt_tokens: int
    total_tokens: int
    completion_tokens: Literal[0]
    prompt_tokens_details: None


class VllmScore(BaseModel):
    index: int
    object: Literal["score"]
    score: float = Field(description="A reranker's from 0 to 1, or with `use_activation` false its logit; a cosine.")


class VllmScoreResponse(BaseModel):
    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[VllmScore] = Field(description="One for each pair, in their order.")
    usage: VllmUsage


class VllmPoolingRequest(_Kept):
    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"input": ["A text.", "Another."]}]})

    input: str | list[str] | list[int] | list[list[int]] | None = Field(
        None, description="Texts, or token ids of the model's own vocabulary; a flat list of these is one input."
    )
    messages: Conversation | list[Conversation] | None = Field(
        None, description="In place of `input`: a conversation with one text or image, or several."
    )
    task: str | None = Field(
        None, description="`embed` (the default), `token_embed`: one vector a token; or one of the model's own tasks."
    )
    dimensions: int | None = Field(None, ge=1, description="Cut vectors to this size, at unit length again.")
    encoding_format: Literal["float", "base64", "bytes", "bytes_only"] | None = Field(
        None,
        description="`base64` is all of an input's numbers as one string. With `bytes` the answer is no JSON but the "
        "numbers one after the other, and the header `metadata` says in JSON which are whose; `bytes_only` is without "
        "it.",
    )
    embed_dtype: EmbedDtype | None = Field(None, description="What numbers are written as, in base64 and bytes.")
    endianness: Endianness | None = Field(None, description="Their byte order; `native` is `little` here.")


class VllmPooled(BaseModel):
    index: int
    object: Literal["pooling"]
    data: list[float] | list[list[float]] | str


class VllmPoolingResponse(BaseModel):
    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[VllmPooled]
    usage: VllmUsage
