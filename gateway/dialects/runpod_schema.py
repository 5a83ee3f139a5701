"""Describes RunPod's API for `/openapi.json`. Never used to check a request or to build an answer."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

_EXAMPLE: JsonValue = {"input": {"model": "all-MiniLM-L6-v2", "input": ["A text."], "embedding_type": "base64"}}

Status = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]


class RunPodError(BaseModel):
    """A request that became no job."""

    error: str = Field(description="A sentence or two; status, code and field stand in parentheses at its end.")
    status: Literal["FAILED"]


class RunPodPolicy(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    execution_timeout: float | None = Field(None, description="Milliseconds that the job may take.")
    ttl: float | None = Field(None, description="Milliseconds that it may wait for its turn.")


class RunPodJob(BaseModel):
    """Unknown fields are ignored. `webhook` is refused: none is called."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_EXAMPLE]})

    input: dict[str, Any] = Field(description="The body of `POST /v1/embeddings`, or with `query` that of a rerank.")
    policy: RunPodPolicy | None = None


class RunPodAccepted(BaseModel):
    id: str
    status: Status


class RunPodStatus(BaseModel):
    """`output` is there once the job is COMPLETED, `error` where it FAILED or TIMED_OUT."""

    model_config = ConfigDict(alias_generator=to_camel)

    delay_time: int | None = Field(None, description="Milliseconds in the queue.")
    execution_time: int | None = Field(None, description="Milliseconds of work.")
    id: str
    output: Any = None
    error: str | None = None
    status: Status


class RunPodStream(BaseModel):
    status: Status
    stream: list[Any] = Field(description="Always empty.")


class RunPodPurged(BaseModel):
    removed: int
    status: Literal["completed"]
