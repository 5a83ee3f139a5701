"""Describes the service pages for `/openapi.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class LiveResponse(BaseModel):
    status: Literal["live"]


class ReadyResponse(BaseModel):
    status: Literal["ready", "not_ready"]


class ModelHealthResponse(BaseModel):
    state: str
    reason: str


class HealthResponse(BaseModel):
    status: Literal["ready", "not_ready"]
    reason: str
    version: str
    models: dict[str, ModelHealthResponse]
    jobs: dict[str, int] = Field(
        description="RunPod's counts: a job is a request answered since the start, `inQueue` counts waiting inputs."
    )
    workers: dict[str, int] = Field(description="RunPod's counts: a worker is a model.")
    error: str | None = Field(None, description="TEI's word for the reason, while there is one.")
    error_type: Literal["Unhealthy"] | None = None


class SummaryResponse(BaseModel):
    name: str
    version: str
    description: str
    models: list[str]
    api_key_required: bool = Field(description="Whether requests other than for this page need an API key.")
    links: dict[str, str]
