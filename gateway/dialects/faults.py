"""What an error means over HTTP, before any dialect gives it a body: one table for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException

from gateway import errors

_STATUS: Mapping[type[Exception], int] = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.NotOffered: 403,
    errors.UnknownModel: 404,
    errors.BodyTooSlow: 408,
    errors.BodyTooLarge: 413,
    errors.UnsupportedBody: 415,
    errors.Overloaded: 429,
    errors.NotServing: 503,
    errors.DeadlineExceeded: 504,
    errors.GatewayError: 500,
}

_ROUTING_FAULTS: Mapping[int, tuple[str, str]] = {
    404: ("not_found", "There is nothing at this path. `GET /` lists what there is."),
    405: ("method_not_allowed", "This path does not take this method; the `Allow` header names those it takes."),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as HTTP knows it. `code` is a stable word from a small set; `param` names the field at fault."""

    status: int
    message: str
    code: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def fault_of(error: Exception) -> Fault:
    """The fault that `error` is; anything nobody raised on purpose is a 500 that says nothing about itself."""
    if isinstance(error, errors.GatewayError):
        return Fault(
            status=_status_of(error),
            message=error.message,
            code=error.code,
            param=getattr(error, "param", None),
            headers=_headers_of(error),
        )
    if isinstance(error, HTTPException) and error.status_code in _ROUTING_FAULTS:
        code, message = _ROUTING_FAULTS[error.status_code]
        return Fault(status=error.status_code, message=message, code=code, headers=dict(error.headers or {}))
    return Fault(
        status=500,
        message="The gateway failed in a way it did not foresee. Please report it with the request's `x-request-id`.",
        code="internal_error",
    )


def _status_of(error: errors.GatewayError) -> int:
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def _headers_of(error: errors.GatewayError) -> dict[str, str]:
    if isinstance(error, errors.NotServing):
        seconds = max(1, error.retry_after_seconds)
        return {"retry-after": str(seconds), "retry-after-ms": str(seconds * 1000)}
    if isinstance(error, errors.BodyTooLarge | errors.BodyTooSlow):
        return {"connection": "close"}  # the rest of the body is not going to be read
    if isinstance(error, errors.Unauthenticated):
        return {"www-authenticate": "Bearer"}
    return {}
