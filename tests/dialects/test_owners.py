"""An error is in the words of the API whose route serves the path, and adding an API takes one file like this one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.testclient import TestClient

from gateway.app import GatewayApp
from gateway.dialects.base import Dialect
from gateway.dialects.endpoint import Answer, Call, EndpointLimits, JsonEndpoint
from gateway.dialects.faults import Fault
from gateway.dialects.inputs import InputLimits
from gateway.dialects.owners import PathOwners, error_renderer
from gateway.dialects.pages import json_response
from gateway.dialects.routing import serve
from gateway.errors import InvalidField
from gateway.middleware.error_rendering import ErrorRendering
from gateway.middleware.request_id import RequestId
from tests.support.edge import edge

LIMITS = EndpointLimits(InputLimits(max_inputs=2, max_image_bytes=10), max_body_values=100, request_timeout_seconds=1)


class Toy:
    """A whole API: it says backwards what it is sent."""

    source = "https://toys.example/api"

    def __init__(self, name: str, *paths: str, prefixes: Sequence[str] = ()) -> None:
        self.name = name
        self.path_prefixes = prefixes
        self._paths = paths

    def routes(self) -> list[BaseRoute]:
        return serve(
            self._paths, JsonEndpoint(self.name, backwards, limits=LIMITS), method="POST", describe=describe_backwards
        )

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:
        return json_response({self.name: fault.message[::-1]}, status=fault.status)


async def backwards(call: Call) -> Answer:
    if "as" in call.fields:
        call.speak(call.fields["as"])
    text = call.fields.get("text")
    if not isinstance(text, str):
        raise InvalidField("text?", param="text")
    return Answer(text[::-1].encode(), content_type=b"text/plain")


def describe_backwards(body: dict[str, Any]) -> str:  # type: ignore[empty-body]
    """Says it backwards."""


DIALECTS: list[Dialect] = [
    Toy("long", "/v1/toys", prefixes=("/v1/",)),
    Toy("short", "/v1/toy", "/things/{thing}/toy", prefixes=("/v1/things/",)),
    Toy("late", "/v1/toy", "/late"),
]
ROUTES = [(dialect, dialect.routes()) for dialect in DIALECTS]


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/v1/toys", "long"), ("/v1/toys/", "long"), ("/v1/toy", "short"), ("/v1/toy/", "short"),
        ("/things/a/toy", "short"), ("/late", "late"), ("//v1///toy", "short"), ("/v1//things//x", "short"),
        # Nobody serves these.
        ("/v1/toyshop", "long"), ("/v1/things/x", "short"), ("/v1/toys/1", "long"), ("/things/a", "late"),
        ("/laterally", "late"), ("/", "late"),
    ],
)  # fmt: skip
def test_a_path_belongs_to_who_serves_it_else_to_the_longest_prefix(path: str, owner: str) -> None:
    assert PathOwners(ROUTES, default=DIALECTS[2]).of(path).name == owner


def test_a_request_that_turned_out_to_be_of_another_api_is_that_apis() -> None:
    owners = PathOwners(ROUTES, default=DIALECTS[0])
    assert owners.of("/v1/toy", spoken="late").name == "late"
    assert owners.of("/v1/toy", spoken="nobody").name == "short"


def test_a_toy_dialect_is_served_and_words_its_own_errors() -> None:
    app = Starlette(routes=[route for _, own in ROUTES for route in own])
    inner = ErrorRendering(app.router, render_error=error_renderer(ROUTES, default=DIALECTS[0]))
    with TestClient(RequestId(inner)) as client:
        answer = client.post("/v1/toy", json={"text": "abc"})
        assert (answer.text, answer.headers["content-type"]) == ("cba", "text/plain")
        refused = client.post("/v1/toy", json={})
        assert (refused.status_code, refused.json()) == (400, {"short": "?txet"})
        assert client.post("/v1/toys/", json={}).json() == {"long": "?txet"}
        assert client.post("/v1/toy", json={"as": "late"}).json() == {"late": "?txet"}


def test_a_wrong_method_is_told_all_that_the_path_takes() -> None:
    with edge() as running:
        for path, methods in (("/", "GET, HEAD, POST"), ("/info/", "GET, HEAD"), ("/v1/segment", "GET, HEAD, POST")):
            answer = running.client.put(path)
            assert (answer.status_code, answer.headers["allow"]) == (405, methods)


@pytest.mark.parametrize("key", ["", "right"])
def test_every_route_of_every_api_words_its_own_errors(key: str) -> None:
    """Without a key, and with one for a body that is no JSON, whatever the path looks like."""
    told = 0
    with edge(api_keys=("right",)) as running:
        app = running.client.app
        assert isinstance(app, GatewayApp)
        for dialect in app.dialects:
            for path, method in {(route.path, method) for route, method in calls_of(dialect)}:
                url = re.sub(r"{\w+(:path)?}", "tiny", path)
                answer = running.client.request(method, url, headers={"authorization": f"Bearer {key}"}, content=b"[1")
                if answer.status_code < 400:
                    continue
                own = dialect.render_fault(Fault(answer.status_code, "m", "c"), request_id="r")
                assert answer.status_code < 500, path
                assert keys_of(answer.content) == keys_of(bytes(own.body)), (path, method, answer.text)
                told += 1
    assert told > 100


def calls_of(dialect: Dialect) -> Iterator[tuple[Route, str]]:
    for route in dialect.routes():
        assert isinstance(route, Route)
        yield from ((route, method) for method in (route.methods or set()) - {"HEAD"})


def keys_of(body: bytes) -> set[str]:
    return set(json.loads(body)) if body else set()
