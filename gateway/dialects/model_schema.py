"""Describes the models pages for `/openapi.json`. Never used to build an answer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class ModelResponse(BaseModel):
    id: str
    object: Literal["model"]
    created: int = Field(description="When the model was released, in Unix seconds.")
    owned_by: str
    hub_id: str
    aliases: list[str] = Field(description="Other names that it answers to, beside `hub_id`; case does not matter.")
    kind: Literal["embedding", "reranker"]
    dimensions: int | None = Field(description="Size of its vectors; null for a reranker.")
    matryoshka_dimensions: list[int] = Field(description="Sizes the model was trained to be cut to; empty if none.")
    late_chunking: bool = Field(description="Whether it takes `late_chunking`.")
    multi_vector: bool = Field(description="Whether it takes `return_multivector`.")
    token_dimensions: int | None = Field(description="Size of a token's own vector; null where it has none.")
    tasks: list[str] = Field(description="Values of `task` that are served; empty for a model without tasks.")
    default_task: str | None = Field(description="The task of a request that names none.")
    max_tokens: int = Field(description="Longest text, in its own tokens, special tokens included.")
    licence: str
    variant: str | None = Field(description="Installed precision; null for a model that has only one.")
    batch_invariant: bool = Field(
        description="False: vectors of this variant would depend on their batch, so it gets one text at a time."
    )
    precision: Literal["exact", "fast"] = Field(
        description="What its vectors really come in, told from a known text: `exact`, those of its files, or `fast`, "
        "those of a faster type (bfloat16) with a cosine of at least 0.9999."
    )
    hugging_face_id: str
    name: str
    description: str
    context_length: int
    max_output_length: int
    input_modalities: list[str] = Field(description="What an input may be: `text`, and `image` where it reads images.")
    output_modalities: list[str]
    quantization: str
    supported_sampling_parameters: list[str]
    supported_features: list[str]
    pricing: dict[str, str]
    datacenters: list[dict[str, str]]
    endpoints: list[str] = Field(description="Cohere's word for what it is for: `embed` or `rerank`.")
    default_endpoints: list[str]
    finetuned: bool
    tokenizer_url: str | None
    alias_of: str | None = Field(
        None, description="In the entry of a name that the operator gave it: the model's own; left out elsewhere."
    )


class ModelsResponse(BaseModel):
    object: Literal["list"]
    data: list[ModelResponse]
    models: list[ModelResponse] = Field(description="The same list under Cohere's name for it.")
