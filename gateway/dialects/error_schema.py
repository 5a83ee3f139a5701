"""Describes error answers for `/openapi.json`. Never used to build one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class ErrorBody(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorResponse(BaseModel):
    """OpenAI's envelope; beside it, for other APIs' clients, the message again as `message` and `detail`, the code and
    the id."""

    error: ErrorBody
    message: str
    detail: str
    code: str
    request_id: str


POST_ERRORS = (400, 401, 404, 408, 413, 415, 429, 500, 503, 504)
"""What any request with a body may be answered."""


ERROR_DESCRIPTIONS: dict[int, str] = {
    400: "A field is wrong, a text is too long, or the body is not a JSON object.",
    401: "API keys are set up and none of them was sent.",
    403: "This API has it, this gateway does not.",
    404: "No such model.",
    408: "The body arrived too slowly.",
    413: "The body is larger than the limit.",
    415: "The body is compressed.",
    422: "A field is wrong, or a text is too long.",
    424: "The model failed, or is of another kind.",
    429: "Too much is waiting already. Try again after `Retry-After`.",
    500: "The model failed, or gave a vector that is not one.",
    503: "The model is not being served right now. Try again after `Retry-After`.",
    504: "The answer would have come too late.",
}


def error_responses(*statuses: int, model: type[BaseModel] = ErrorResponse) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's `responses` for these statuses, of bodies like `model`. `default` keeps FastAPI from promising a 422 of
    its own."""
    documented: dict[int | str, dict[str, Any]] = {
        status: {"model": model, "description": ERROR_DESCRIPTIONS[status]} for status in statuses
    }
    return documented | {"default": {"model": model, "description": "Any other error, in the same shape."}}
