"""What a caller is told of a failed job. RunPod has one string for it, and for its OpenAI route nothing but a body."""

from __future__ import annotations

from typing import Any

from gateway.dialects.faults import Fault, fault_of

_INTERNAL = "internal_error"
_OPENAI_TYPES = {
    401: "AuthenticationError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
    504: "TimeoutError",
}


def job_fault(error: Exception, *, job_id: object) -> Fault:
    """As over HTTP, less what only HTTP has."""
    fault = fault_of(error)
    if fault.code != _INTERNAL:
        return fault
    return Fault(
        status=fault.status,
        message=f"The gateway failed in a way it did not foresee. Please report it with the job's id, {job_id}.",
        code=_INTERNAL,
    )


def failed(fault: Fault) -> dict[str, Any]:
    """The handler's answer that makes a job FAILED. A program reads what is in the parentheses at the end."""
    param = f", param {fault.param}" if fault.param else ""
    return {"error": f"{fault.message} (status {fault.status}, code {fault.code}{param})"}


def openai_error(fault: Fault) -> dict[str, Any]:
    """The body that OpenAI's clients get, in the shape that RunPod's own workers give it. RunPod's status is 200."""
    return {
        "object": "error",
        "message": fault.message,
        "type": _OPENAI_TYPES.get(fault.status, "BadRequestError"),
        "param": fault.param,
        "code": fault.status,
    }
