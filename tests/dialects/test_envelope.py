"""One error body for two families of clients: OpenAI's read `error`, Jina's a string `detail`."""

from __future__ import annotations

import json

import pytest

from gateway.dialects.envelope import envelope_response, error_type
from gateway.dialects.faults import Fault


def test_the_whole_body() -> None:
    fault = Fault(status=429, message="m", code="overloaded", param=None, headers={"retry-after": "3"})
    answer = envelope_response(fault, request_id="id-1")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
    assert json.loads(bytes(answer.body)) == {
        "error": {"message": "m", "type": "rate_limit_error", "param": None, "code": "overloaded"},
        "message": "m",
        "detail": "m",
        "code": "overloaded",
        "request_id": "id-1",
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (404, "invalid_request_error"), (429, "rate_limit_error"), (500, "server_error"),
     (503, "server_error")],
)  # fmt: skip
def test_types_are_openais(status: int, kind: str) -> None:
    assert error_type(status) == kind
