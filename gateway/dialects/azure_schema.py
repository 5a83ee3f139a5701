"""Describes Azure's errors for `/openapi.json`. Never used to build one."""

from __future__ import annotations

from pydantic import BaseModel, Field


class AzureErrorBody(BaseModel):
    code: str = Field(
        description="Azure's word where it has one: `DeploymentNotFound`, `OperationNotSupported`, `RateLimitReached`, "
        "`401`; else the gateway's own."
    )
    message: str
    param: str | None
    type: str


class AzureError(BaseModel):
    error: AzureErrorBody
