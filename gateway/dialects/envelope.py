"""Puts an error in words that the clients of OpenAI's, Jina's and Cohere's APIs read, on the paths that they share."""

from __future__ import annotations

from starlette.responses import Response

from gateway.dialects.faults import Fault
from gateway.dialects.pages import json_response

_TYPES = {429: "rate_limit_error"}


def envelope_response(fault: Fault, *, request_id: str) -> Response:
    """OpenAI's `error` object; beside it what others' clients look at: the message as a string `detail` (Jina's,
    Voyage's) and `message` (Cohere's), the code and the request's id."""
    body = {
        "error": {
            "message": fault.message,
            "type": error_type(fault.status),
            "param": fault.param,
            "code": fault.code,
        },
        "message": fault.message,
        "detail": fault.message,
        "code": fault.code,
        "request_id": request_id,
    }
    return json_response(body, status=fault.status, headers=fault.headers)


def error_type(status: int) -> str:
    """OpenAI's `type` word for an error of this status."""
    return "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
