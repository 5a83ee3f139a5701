"""The whole HTTP edge in front of `InstantServices`, in process, and the check that every error passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.testclient import TestClient

from gateway.app import create_app
from gateway.settings import Settings
from tests.support.instant_models import ScriptedModels
from tests.support.instant_services import InstantServices

ENVELOPE_KEYS = {"message", "type", "param", "code"}


def settings(**changes: Any) -> Settings:
    """The defaults, with `changes`; the environment of whoever runs the tests stays out of it."""
    return Settings(_env_file=None, **changes)  # type: ignore[call-arg]


@dataclass(frozen=True)
class Edge:
    client: TestClient
    services: InstantServices

    def embed(self, **fields: Any) -> httpx.Response:
        return self.client.post("/v1/embeddings", json={"input": "a text", **fields})


@contextmanager
def edge(serving: ScriptedModels | None = None, **changes: Any) -> Iterator[Edge]:
    """`serving` in place of the usual models; `changes` are settings."""
    services = InstantServices() if serving is None else InstantServices(models=serving)
    app = create_app(settings(**changes), start_services=services.start)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Edge(client=client, services=services)


def check_error(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Exactly OpenAI's envelope plus what clients of other APIs read; returns the inner object."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    body = answer.json()
    assert set(body) == {"error", "message", "detail", "code", "request_id"}
    error: dict[str, Any] = body["error"]
    assert set(error) == ENVELOPE_KEYS
    assert isinstance(error["message"], str)
    assert error["message"]
    assert body["detail"] == body["message"] == error["message"]
    assert isinstance(error["type"], str)
    assert error["param"] is None or isinstance(error["param"], str)
    assert isinstance(error["code"], str)
    assert body["code"] == error["code"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return error
