"""Describes Jina's rerank, classify and segment for `/openapi.json`. Never used to check or answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.dialects.embeddings_schema import TextObject
from gateway.dialects.image_schema import AnyImage

Labels = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]

_RERANK_EXAMPLE: dict[str, Any] = {
    "model": "jina-reranker-v2-base-multilingual",
    "query": "What is the capital of France?",
    "documents": ["Berlin is the capital of Germany.", "Paris is the capital of France."],
    "top_n": 1,
}
_CLASSIFY_EXAMPLE: dict[str, Any] = {
    "model": "jina-embeddings-v3",
    "input": ["Calculate the compound interest on a loan.", "Write a poem about the sea."],
    "labels": ["finance", "poetry"],
}
_CLASSIFY_IMAGES_EXAMPLE: dict[str, Any] = {
    "model": "jina-embeddings-v4",
    "input": [{"image": "https://example.org/harbour.jpg"}],
    "labels": ["boats", "mountains"],
}
_SEGMENT_EXAMPLE: dict[str, Any] = {
    "content": "Berlin is the capital of Germany. It has 3.8 million inhabitants.",
    "return_chunks": True,
    "max_chunk_length": 40,
}


class RerankRequest(BaseModel):
    """Unknown fields are ignored, and null means the same as leaving a field out."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_RERANK_EXAMPLE]})

    query: str | TextObject
    documents: Annotated[list[str | TextObject], Field(min_length=1)] = Field(
        description="The texts to order. Also `texts`, `docs`, `passages`."
    )
    model: str | None = Field(None, description="A reranker, by any of its names. Left out: the default reranker.")
    top_n: Annotated[int, Field(ge=0)] | None = Field(
        None, description="How many of the best to give back; 0 or more than there are: all. Also `top_k`."
    )
    return_documents: bool | None = Field(
        None, description="Give each document back, in the form it came in. Left out: true."
    )
    raw_scores: bool | None = Field(
        None,
        description="True: what the model gives, before the sigmoid, as in Infinity's API. Also vLLM's "
        "`use_activation` false.",
    )
    max_doc_length: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Cut documents to this many tokens first. Also `max_tokens_per_doc`."
    )
    truncation: bool | None = Field(
        None,
        description="True: a document that does not fit beside the query is cut. False: it is read in overlapping "
        "pieces, of which the best one counts. Left out: as the server is set, in pieces by default. Also `truncate`.",
    )


class RerankItem(BaseModel):
    index: int = Field(description="Place of the document among those sent.")
    relevance_score: float = Field(
        description="From 0 to 1: the sigmoid of what the model gives; with `raw_scores` that itself."
    )
    document: str | TextObject | None = Field(None, description="Left out where documents are not asked for.")


class RerankUsage(BaseModel):
    total_tokens: int
    prompt_tokens: int


class RerankResponse(BaseModel):
    id: str = Field(description="The request's id, as in the header `x-request-id`.")
    model: str
    object: Literal["list"]
    usage: RerankUsage
    results: list[RerankItem] = Field(description="By falling score.")
    meta: dict[str, dict[str, str | int]] = Field(description="What clients of Cohere's first API look for.")


class ClassifyRequest(BaseModel):
    """Unknown fields are ignored, and null means the same as leaving a field out."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"examples": [_CLASSIFY_EXAMPLE, _CLASSIFY_IMAGES_EXAMPLE]}
    )

    input: str | TextObject | AnyImage | Annotated[list[str | TextObject | AnyImage], Field(min_length=1)] = Field(
        description="One text or image, or several of both; images for a model that reads them. Also `content`, "
        "`texts`."
    )
    labels: Labels | Annotated[dict[str, Labels], Field(min_length=1)] = Field(
        description="What to choose from: a list, or an object of lists with one choice each; 512 labels at most."
    )
    model: str | None = Field(None, description="An embedding model, by any of its names.")
    task: str | None = Field(
        None,
        description="What inputs and labels are embedded for. Left out: `classification`, where the model has it. Also "
        "`task_type`.",
    )
    truncate: bool | None = Field(
        None, description="Cut an input that is too long instead of refusing it. Also `truncation`."
    )


class LabelScore(BaseModel):
    label: str
    score: float = Field(ge=0, le=1)


class Classification(BaseModel):
    """With groups of labels, `prediction`, `score` and `predictions` are objects keyed by group."""

    object: Literal["classification"]
    index: int
    prediction: str | dict[str, str]
    score: float | dict[str, float]
    predictions: list[LabelScore] | dict[str, list[LabelScore]] = Field(
        description="All labels in the order given; their scores add up to 1."
    )


class ClassifyUsage(BaseModel):
    total_tokens: int


class ClassifyResponse(BaseModel):
    usage: ClassifyUsage
    data: list[Classification]


class SegmentRequest(BaseModel):
    """Unknown fields are ignored, and null means the same as leaving a field out."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_SEGMENT_EXAMPLE]})

    content: str
    tokenizer: str | None = Field(
        None,
        description="`cl100k_base` (the default), or the name of a model that is served. Also `model`.",
    )
    return_tokens: bool | None = Field(None, description="List the tokens.")
    return_chunks: bool | None = Field(None, description="Cut the text into pieces.")
    max_chunk_length: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Longest piece, in characters. Left out: 1000."
    )
    head: Annotated[int, Field(ge=1)] | None = Field(None, description="List the first tokens alone, this many.")
    tail: Annotated[int, Field(ge=1)] | None = Field(
        None, description="List the last tokens alone, this many; not together with `head`."
    )


class SegmentUsage(BaseModel):
    tokens: Literal[0] = Field(description="Nothing is counted against anybody.")


class SegmentResponse(BaseModel):
    num_tokens: int
    tokenizer: str
    usage: SegmentUsage
    num_chunks: int | None = None
    chunk_positions: list[tuple[int, int]] | None = Field(
        None, description="Where pieces begin and end, in characters; the end is not part of the piece."
    )
    tokens: list[list[tuple[str, list[int]]]] | None = Field(
        None, description="By piece, or as one where no pieces are asked for: each token's text and ids."
    )
    chunks: list[str] | None = None
