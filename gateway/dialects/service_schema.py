"""Describes the service pages for `/openapi.json`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


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


class SummaryResponse(BaseModel):
    name: str
    version: str
    description: str
    models: list[str]
    links: dict[str, str]
