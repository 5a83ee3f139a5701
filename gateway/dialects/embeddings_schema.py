"""Describes `/v1/embeddings` for `/openapi.json`. Never used to check a request or to build an answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from gateway.dialects.image_schema import AnyImage

TokenId = Annotated[int, Field(ge=0)]
EmbedDtype = Literal["float32", "float16", "bfloat16", "fp8_e4m3", "fp8_e5m2"]
Endianness = Literal["native", "little", "big"]
Conversation = Annotated[list[dict[str, JsonValue]], Field(min_length=1)]

EXAMPLES: list[JsonValue] = [
    {"model": "all-MiniLM-L6-v2", "input": ["A first text.", "A second text."]},
    {
        "model": "jina-embeddings-v3",
        "task": "retrieval.passage",
        "dimensions": 256,
        "embedding_type": "binary",
        "input": [{"text": "Berlin is the capital of Germany."}],
    },
    {
        "model": "jina-embeddings-v3",
        "task": "retrieval.passage",
        "late_chunking": True,
        "input": ["Berlin is the capital of Germany.", "The city has 3.8 million inhabitants."],
    },
    {
        "model": "jina-embeddings-v4",
        "task": "retrieval.passage",
        "input": [{"image": "https://example.org/harbour.jpg"}, {"text": "A harbour in the morning."}],
    },
    {
        "model": "jina-embeddings-v4",
        "task": "retrieval.query",
        "return_multivector": True,
        "return_tokenized_input": True,
        "input": ["boats in a harbour"],
    },
]


class TextObject(BaseModel):
    model_config = ConfigDict(extra="allow")

    text: str
    type: Literal["text"] | None = None


class EmbeddingsRequest(BaseModel):
    """The fields of OpenAI's and of Jina's API together, with the other names that a field goes by. The first of its
    names that is given wins. Unknown fields are ignored, and null means the same as leaving a field out."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": EXAMPLES})

    input: Annotated[
        str | TextObject | AnyImage | list[str | TextObject | AnyImage] | list[TokenId] | list[list[TokenId]],
        Field(
            description="One text or image, several of both, one input as token ids, or several inputs as token ids. "
            "A flat list of integers is one input. For a model that reads images, a string that begins with "
            "`data:image/` is one. Also `content`, `texts`."
        ),
    ]
    model: str | None = Field(
        None,
        description="Short name, hub id or alias, whatever the case. Left out: the default model.",
    )
    task: str | None = Field(
        None,
        description="What the vectors are for, as `GET /v1/models` lists it; a model without tasks ignores it. Also "
        "`task_type`.",
        examples=["retrieval.query", "text-matching"],
    )
    input_type: str | None = Field(
        None,
        description="The side of a search alone, where no task is named. Also `prompt_name`.",
        examples=["query", "document"],
    )
    dimensions: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Cut vectors to this size and make them unit length again; at most the model's own size. Also "
        "`output_dimension`, `output_dimensionality`.",
    )
    embedding_type: str | list[str] | None = Field(
        None,
        description="`float` (the default), `base64` (little-endian float32), `ubinary` or `binary`, in any case. "
        "`ubinary` is one bit a dimension, set where the value is above zero, the first dimension in the highest bit, "
        "the last byte filled up with zero bits; `binary` is the same bytes less 128. With a list of several, each "
        "`embedding` is an object keyed by type. Also `embedding_types`, `encoding_type`, `output_dtype`, "
        "`encoding_format`; `base64` in the last one goes before `float` in another.",
        examples=["float", "base64", "binary", "ubinary", ["float", "ubinary"]],
    )
    encoding_format: str | list[str] | None = Field(
        None,
        description="OpenAI's name for `embedding_type`. vLLM's `bytes`, under this name alone, asks for an answer "
        "that is no JSON: the numbers of all vectors, and the header `metadata`, which says in JSON which are whose; "
        "`bytes_only` is without it.",
        examples=["float", "base64", "bytes"],
    )
    normalized: bool | None = Field(
        None,
        description="False: vectors keep the length that the model gives them. Left out: unit length. Also "
        "`use_activation`.",
    )
    truncate: bool | None = Field(
        None,
        description="Cut a text that is longer than the model's window instead of refusing it. Also `truncation`.",
    )
    late_chunking: bool | None = Field(
        None,
        description="All inputs are parts of one document, in order; each vector is the mean over its part's tokens in "
        "the context of the whole. For texts alone, and models whose vectors are means.",
    )
    token_vocabulary: str | None = Field(
        None,
        description="Whose token ids `input` holds: `cl100k_base` or `model`. The header `x-token-vocabulary` says it "
        "too. Left out: what the operator set, `cl100k_base` unless changed.",
        examples=["cl100k_base", "model"],
    )
    return_multivector: bool | None = Field(
        None,
        description="One vector for each token, for models that `GET /v1/models` lists with `multi_vector`. Not "
        "together with `dimensions`, `late_chunking` or `normalized` false.",
    )
    return_tokenized_input: bool | None = Field(
        None, description="List the tokens beside their vectors; with `return_multivector` alone."
    )
    modality: str | None = Field(
        None,
        description="Infinity's word for what the strings of `input` are. Left out: `text`.",
        examples=["text", "image"],
    )
    messages: Conversation | list[Conversation] | None = Field(
        None,
        description="vLLM's: in place of `input` a conversation with one text or image, or several of these. What is "
        "said to the model in the role `system` is not read.",
    )
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = Field(
        None,
        description="vLLM's: keep this many tokens of what is longer, special tokens and the task's prefix included; "
        "-1: as many as the model reads. Goes before `truncate`.",
    )
    truncation_side: Literal["left", "right"] | None = Field(
        None, description="vLLM's: which end is cut off where a text is cut. Left out: `right`."
    )
    embed_dtype: EmbedDtype | None = Field(
        None, description="vLLM's: what numbers are written as in base64 and bytes. Left out: `float32`."
    )
    endianness: Endianness | None = Field(
        None, description="vLLM's: their byte order. Left out, and for `native`: `little`."
    )
    user: Any = Field(None, description="Ignored.")


Encoded = list[float] | str
TypeName = Literal["float", "base64", "binary", "ubinary"]


class EmbeddingItem(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: Encoded | dict[TypeName, Encoded] = Field(
        description="A list of numbers, a base64 string, or an object of both where several types were asked for."
    )


class MultiVectorItem(BaseModel):
    """What `return_multivector` gives for an input."""

    object: Literal["embeddings"]
    index: int
    embeddings: list[Encoded] | dict[TypeName, list[Encoded]] = Field(
        description="A vector for each token, the task's prefix included: a list of numbers or a base64 string each; "
        "or an object of such lists where several types were asked for."
    )
    tokenized_input: list[str] | None = Field(
        None, description="Each token's text, where `return_tokenized_input` asked for it; left out otherwise."
    )


class EmbeddingsUsage(BaseModel):
    prompt_tokens: int = Field(
        description="Tokens by the model's own tokenizer, special tokens and the task's prefix included."
    )
    total_tokens: int
    image_tokens: int | None = Field(
        None, description="Those among them that stand for images, their prompt included; left out where none was sent."
    )


class EmbeddingsResponse(BaseModel):
    object: Literal["list"]
    data: list[EmbeddingItem] | list[MultiVectorItem] = Field(description="One item per input, in input order.")
    model: str
    usage: EmbeddingsUsage
