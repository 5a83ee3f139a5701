"""Every setting, read once from the environment (and `.env`) by `app` and `cli` alone.

Names carry the prefix `GATEWAY_`. `FOREIGN_NAMES` is the one table of other names that are accepted as well, so that
the compose files and scripts people already have go on working. Where both are set, the `GATEWAY_` name wins.
"""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, AliasGenerator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.errors import ConfigurationError
from gateway.types import LongDocuments, OwnPrefixes, Precision

ENV_PREFIX = "GATEWAY_"

FOREIGN_NAMES: dict[str, tuple[str, ...]] = {
    "host": ("HOST",),
    "port": ("PORT", "EMBEDDINGS_PORT"),
    "triton_url": ("TRITON_URL",),
    "default_model": ("MODEL_NAME", "EMBEDDINGS_MODEL_ID"),
    "default_reranker": ("RERANKER_MODEL_ID",),
    "tokenizer_path": ("TOKENIZER_PATH",),
    "model_repository": ("MODEL_REPOSITORY",),
    "api_keys": ("API_KEYS", "API_KEY"),
    "variant": ("ONNX_QUANTIZATION",),
    "max_model_tokens": ("MAX_MODEL_LEN",),
    "gpu_memory_utilization": ("GPU_MEMORY_UTILIZATION",),
    "dtype": ("DTYPE",),
    "job_concurrency": ("RUNPOD_MAX_CONCURRENCY",),
    "hf_token": ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    "hf_endpoint": ("HF_ENDPOINT",),
    "log_level": ("LOG_LEVEL",),
}


class TokenIdPolicy(Enum):
    """What `input` given as token ids means when the request does not say."""

    CL100K_BASE = "cl100k_base"
    MODEL = "model"
    REFUSE = "refuse"


def environment_names(field: str) -> tuple[str, ...]:
    """The environment variables that set a field, the winning one first."""
    return (ENV_PREFIX + field.upper(), *FOREIGN_NAMES.get(field, ()))


CommaList = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """One frozen value; every field's description is its line in the README's table."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        case_sensitive=True,
        alias_generator=AliasGenerator(validation_alias=lambda name: AliasChoices(*environment_names(name))),
    )

    host: str = Field("127.0.0.1", description="Address the gateway listens on; `0.0.0.0` for every interface.")
    port: int = Field(8000, ge=0, le=65535, description="Port of the gateway.")
    triton_url: str = Field("127.0.0.1:8001", description="Triton's gRPC endpoint, `host:port`.")
    triton_http_url: str | None = Field(
        None,
        description="HTTP endpoint of the same Triton, `host:port`: short calls then go there, which takes half as "
        "long. `gateway up` sets it. Unset: all calls go by gRPC.",
    )
    triton_grpc_port: int = Field(8001, ge=0, le=65535, description="gRPC port of the embedded Triton.")
    triton_http_port: int = Field(8002, ge=0, le=65535, description="HTTP port of the embedded Triton.")
    triton_metrics_port: int = Field(8003, ge=0, le=65535, description="Metrics port of the embedded Triton.")
    triton_home: Path | None = Field(
        None,
        description="Folder of the tritonserver for `gateway up`, such as `/opt/tritonserver`; unset: the wheel's.",
    )
    model_repository: Path = Field(Path("model_repository"), description="Folder of model folders.")
    models: CommaList = Field((), description="Serve only these models, comma-separated; empty for all complete ones.")
    default_model: str | None = Field(
        None, description="Model for requests that name none; unset: the only loaded one, if there is only one."
    )
    model_aliases: CommaList = Field(
        (),
        description="More names for models, as `ALIAS=MODEL`, comma-separated: "
        "`text-embedding-3-small=all-MiniLM-L6-v2,search=jina-embeddings-v3:query`.",
    )
    tokenizer_path: Path | None = Field(
        None, description="`tokenizer.json`, or the folder holding it, to use for the default model instead of its own."
    )

    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Accepted API keys, comma-separated; empty for no authentication."
    )
    api_keys_file: Path | None = Field(
        None,
        description="File with one accepted API key a line, added to the above. Behind a key may stand "
        "`model=NAME` and `task=TASK`, for its requests that leave them open, and `weight=3`, which gives it three "
        "times the share of others while all want more than there is.",
    )
    cors_origins: CommaList = Field(
        (), description="Origins browsers may call from, comma-separated, or `*`; empty: off."
    )

    max_body_bytes: int = Field(16 * 1024 * 1024, ge=1, description="Largest request body read, in bytes.")
    max_inputs: int = Field(2048, ge=1, description="Largest number of inputs in one request.")
    max_request_tokens: int = Field(300_000, ge=1, description="Largest number of tokens in one request.")
    max_text_bytes: int = Field(
        256 * 1024,
        ge=1024,
        description="A text longer than this is first judged by its beginning, so that a refusal comes quickly.",
    )
    token_ids: TokenIdPolicy = Field(
        TokenIdPolicy.CL100K_BASE, description="Vocabulary of token-id inputs: `cl100k_base`, `model` or `refuse`."
    )
    own_prefixes: OwnPrefixes = Field(
        OwnPrefixes.ROLE,
        description="A text that begins with one of the model's own prefixes: `role` (not prefixed again, and chooses "
        "query or document where no task is named), `keep` (not prefixed again) or `ignore`.",
    )
    default_reranker: str | None = Field(
        None, description="Reranker for requests that name none; unset: the only loaded one, if there is only one."
    )
    rerank_long_documents: LongDocuments = Field(
        LongDocuments.CHUNK,
        description="Documents longer than a reranker's window: `chunk` (scored by their best piece) or `truncate`.",
    )
    variant: str | None = Field(
        None, description="Precision to install of models that come in several: `fp16`, `int8`, ...; `none`: default."
    )
    precision: Precision = Field(
        Precision.EXACT,
        description="How models compute under `gateway up`: `exact`, or `fast` (bfloat16 by OpenVINO, 1.5 to 1.8 times "
        "as fast in bulk; cosine with exact vectors at least 0.9999) for those that can; see docs/precision.md.",
    )
    auto_pull: bool = Field(False, description="Download a known model when a request first names it.")
    default_tasks: CommaList = Field(
        (), description="Task of requests that name none, as `MODEL=TASK`, comma-separated; unset: the model's own."
    )
    max_model_tokens: int | None = Field(
        None, ge=16, description="Longest input of a model, in tokens, where its own window is longer."
    )
    dtype: Literal["bfloat16", "float16", "float32"] | None = Field(
        None,
        description="What models of the Python backend compute in; unset: `bfloat16` on a GPU, `float32` on a CPU.",
    )
    gpu_memory_utilization: float = Field(
        0.9, gt=0, le=1, description="Share of the GPU's memory that a model of the Python backend may take."
    )
    image_urls: str = Field(
        "public",
        description="Images given by URL: `off`, or where they may be fetched from, comma-separated: `public` (all of "
        "the internet, ports 80 and 443), `images.example.com`, `*.example.com`, `host:8080`. A host with a private "
        "address needs `+private` behind it: `intranet.example+private`.",
    )
    max_image_bytes: int = Field(10 * 1024 * 1024, ge=1024, description="Largest image file read, in bytes.")
    max_image_pixels: int = Field(20_000_000, ge=1, description="Largest image decoded, in pixels.")
    max_images_bytes: int = Field(
        1024 * 1024 * 1024, ge=1024, description="Memory that images under way may take together, in bytes."
    )
    image_fetch_seconds: float = Field(10.0, gt=0, description="Time that fetching one image by URL may take.")
    image_fetches: int = Field(16, ge=1, description="Images fetched at the same time.")
    image_workers: int = Field(2, ge=1, description="Processes that decode images.")
    vocabulary_folder: Path = Field(Path("vocabularies"), description="Folder of installed token-id vocabularies.")
    strict_empty: bool = Field(False, description="Refuse empty strings instead of embedding the special tokens alone.")

    header_timeout_seconds: float = Field(10.0, gt=0, description="Time a client may take to send a request's headers.")
    body_timeout_seconds: float = Field(30.0, gt=0, description="Time a client may take to send a request's body.")
    send_timeout_seconds: float = Field(
        30.0, gt=0, description="Time a client may go without taking any of its answer; then it is hung up on."
    )
    request_timeout_seconds: float = Field(
        300.0, gt=0, description="Time a request may take before it is answered 504."
    )
    recovery_wait_seconds: float = Field(
        10.0, ge=0, description="How long a request caught in a Triton crash waits for it to come back, to be retried."
    )
    max_queued_tokens: int = Field(
        2_000_000, ge=1, description="Tokens that may wait for a model; beyond that requests are answered 429."
    )
    calls_in_flight: int | None = Field(
        None,
        ge=1,
        description="Triton calls under way per model, and as many again for small requests; unset: what the model "
        "computes at once, and one that is ready.",
    )
    tokenizer_threads: int = Field(2, ge=1, description="Threads that tokenize.")
    cache_bytes: int = Field(
        0, ge=0, description="Memory for vectors kept in this process, to answer the same text again; 0 keeps none."
    )
    cache_url: SecretStr | None = Field(
        None, description="Redis to keep vectors in, such as `redis://127.0.0.1:6379/0`; unset keeps none there."
    )
    cache_secret: SecretStr | None = Field(
        None,
        description="Random text that keys and values in Redis are made with, the same for all gateways that share it.",
    )
    cache_ttl_seconds: float = Field(86_400.0, gt=0, description="How long a vector is kept at most.")
    canary_interval_seconds: float = Field(
        1.0, gt=0, description="How often each model must prove itself with a known vector for `/ready`."
    )
    job_concurrency: int = Field(32, ge=1, description="RunPod jobs that one worker takes at a time, to share batches.")
    max_job_output_bytes: int = Field(
        20_000_000, ge=10_000, description="Largest answer to a RunPod job, in bytes of JSON; RunPod drops larger ones."
    )
    drain_seconds: float = Field(5.0, ge=0, description="How long running requests may finish after a stop signal.")

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest level written to the log."
    )
    log_format: Literal["auto", "console", "json"] = Field(
        "auto", description="Log lines for people or for machines; `auto`: for people on a terminal."
    )
    api_docs: bool = Field(True, description="Serve `/docs`, `/redoc` and `/openapi.json`.")

    hf_token: SecretStr | None = Field(None, description="Token for gated repositories on the model hub.")
    hf_endpoint: str | None = Field(None, description="Another model hub's address.")
    run_folder: Path = Field(Path(".run"), description="Folder for the embedded Triton's log, pid file and backends.")

    @field_validator("models", "cors_origins", "api_keys", "default_tasks", "model_aliases", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator(
        "triton_home",
        "triton_http_url",
        "default_model",
        "default_reranker",
        "tokenizer_path",
        "api_keys_file",
        "cache_url",
        "cache_secret",
        "hf_token",
        "hf_endpoint",
        "variant",
        "dtype",
        "max_model_tokens",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment with `overrides` on top; None means "not given".

    Raises `ConfigurationError` naming the variable that is wrong and what it should be.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigurationError(
            _first_fault(error), remedy="Mend the variable or unset it, then start again."
        ) from None


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    name = str(fault["loc"][0]) if fault["loc"] else "settings"
    # A field that came from the environment is named by its first variable, whichever of them was set.
    field = name.removeprefix(ENV_PREFIX).lower()
    if field in Settings.model_fields:
        name = _name_in_use(field)
    return f"{name} is not valid: {fault['msg']}."


def _name_in_use(field: str) -> str:
    """The variable that was set, by the name that the operator chose; all its names where none is in the environment,
    as those of `.env` are not."""
    names = environment_names(field)
    in_environment = {name.upper() for name in os.environ}
    return next((name for name in names if name in in_environment), " or ".join(names))
