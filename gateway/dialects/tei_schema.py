"""Describes TEI's API for `/openapi.json`. Never used to check a request or to build an answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Direction = Literal["Left", "Right", "left", "right"]
TeiInputs = str | list[int] | list[str | list[int]]


class TeiError(BaseModel):
    error: str
    error_type: Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"]


class _Cut(BaseModel):
    """Unknown fields are ignored, and null means the same as leaving a field out."""

    model_config = ConfigDict(extra="allow")

    truncate: bool | None = Field(None, description="False: a text that is too long is refused. Left out: it is cut.")
    truncation_direction: Direction | None = Field(None, description="Which end is cut off. Left out: `Right`.")
    model: str | None = Field(None, description="Any name of a model; this gateway's own field.")


class TeiEmbedAllRequest(_Cut):
    inputs: TeiInputs = Field(
        description="Texts, or token ids of the model's own vocabulary. A flat list is one input."
    )
    prompt_name: str | None = Field(None, description="The side of a search, or a task of the model.")


class TeiEmbedRequest(TeiEmbedAllRequest):
    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"inputs": ["A text.", "Another."]}]})

    normalize: bool | None = Field(None, description="False: vectors keep the length that the model gives them.")
    dimensions: int | None = Field(None, description="Cut vectors to this size, at unit length again.")


class TeiRerankRequest(_Cut):
    query: str
    texts: list[str]
    raw_scores: bool | None = Field(None, description="True: what the model gives, before the sigmoid.")
    return_text: bool | None = Field(None, description="True: repeat the texts.")


class TeiRank(BaseModel):
    index: int
    score: float
    text: str | None = Field(None, description="Left out where it is not asked for.")


class TeiPredictRequest(_Cut):
    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [{"inputs": ["A question?", "A text."]}]})

    inputs: list[str] | list[list[str]] = Field(description="A pair of texts, or a list of pairs.")
    raw_scores: bool | None = None


class TeiPrediction(BaseModel):
    label: str
    score: float


class TeiSentences(BaseModel):
    source_sentence: str
    sentences: list[str]


class TeiSimilarityRequest(BaseModel):
    inputs: TeiSentences
    parameters: dict[str, Any] | None = Field(None, description="`truncate`, `truncation_direction`, `prompt_name`.")


class TeiTokenizeRequest(BaseModel):
    """TEI's `inputs`, or vLLM's `prompt`: the answer is in the shape of whose field it is."""

    model_config = ConfigDict(extra="allow")

    inputs: str | list[str] | None = None
    prompt: str | None = None
    add_special_tokens: bool | None = None
    prompt_name: str | None = Field(None, description="Put the prefix of a side of a search before each text.")
    return_token_strs: bool | None = Field(None, description="With `prompt`: list the tokens' texts too.")
    model: str | None = None


class TeiToken(BaseModel):
    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class VllmTokens(BaseModel):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class TeiDecodeRequest(BaseModel):
    model_config = ConfigDict(extra="allow")

    ids: list[int] | list[list[int]]
    skip_special_tokens: bool | None = None
    model: str | None = None


class VllmDetokenizeRequest(BaseModel):
    model_config = ConfigDict(extra="allow")

    tokens: list[int]
    model: str | None = None


class VllmText(BaseModel):
    prompt: str


class TeiInfo(BaseModel):
    model_id: str
    model_sha: str | None
    model_dtype: str
    served_model_name: str
    model_type: dict[str, Any] = Field(description="`embedding` with its pooling, or `reranker` with its label.")
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: str | None
    docker_label: str | None
