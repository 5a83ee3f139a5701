"""The reference lists what the app answers: no route is missing, none is there twice, and each names its source."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.app import GatewayApp, create_app
from gateway.dialects.base import Dialect
from gateway.dialects.faults import Fault
from gateway.dialects.pages import Page, json_response
from gateway.dialects.reference import Entry, dialect_entries, other_routes, route_entries, undocumented_routes
from gateway.dialects.routing import serve
from tests.support.edge import settings
from tests.support.instant_services import InstantServices

ROOT = Path(__file__).parents[2]


def app() -> GatewayApp:
    return create_app(settings(), start_services=InstantServices().start)


def listed() -> list[Entry]:
    """All entries of all dialects."""
    return [entry for dialect in app().dialects for entry in dialect_entries(dialect)]


def requests_of(entry: Entry) -> list[tuple[str, str]]:
    return [(entry.method, path) for path in (entry.path, *entry.other_paths)]


def plain(path: str) -> str:
    return path.replace(":path}", "}").rstrip("/") or "/"


def test_every_route_of_the_app_is_listed_and_leads_to_one_place() -> None:
    made = app()
    own = other_routes(made.routes, made.dialects)
    entries = [*listed(), *route_entries(own, source="")]
    found = Counter(request for entry in entries for request in requests_of(entry))
    assert [request for request, times in found.items() if times > 1] == []
    served = {
        (method, plain(route.path))
        for route in made.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    browsers = {("GET", path) for path in undocumented_routes(own)}
    assert served == set(found) | browsers
    assert len(made.routes) == sum(isinstance(route, Route) for route in made.routes)


def test_pages_for_browsers_are_the_only_ones_that_say_nothing_of_themselves() -> None:
    made = app()
    pages = undocumented_routes(other_routes(made.routes, made.dialects))
    assert {"/docs", "/redoc", "/openapi.json"} <= set(pages)
    assert not [path for path in pages if path.startswith(("/v1", "/v2", "/api"))]


def test_every_entry_says_what_it_does_and_which_page_it_follows() -> None:
    for entry in listed():
        assert entry.what.endswith("."), entry
        source = urlsplit(entry.source)
        assert source.scheme == "https", entry
        assert "." in source.netloc


def test_every_api_has_a_name_of_its_own_and_imports_no_other() -> None:
    dialects = app().dialects
    names = [dialect.name for dialect in dialects]
    assert len(names) == len(set(names))
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [independent] = [contract["modules"] for contract in contracts if contract["type"] == "independence"]
    assert {type(dialect).__module__ for dialect in dialects} == set(independent)


class Made:
    """An API of the routes given."""

    name, source = "made", "https://made.example/api"
    path_prefixes: Sequence[str] = ()

    def __init__(self, *routes: BaseRoute) -> None:
        self._routes = routes

    def routes(self) -> Sequence[BaseRoute]:
        return self._routes

    def render_fault(self, fault: Fault, *, request_id: str) -> Response:
        return json_response({}, status=fault.status)


PAGE = Page("made", lambda scope: json_response({}))


def do() -> None:
    """Does it,
    and | well."""


def entries(*routes: BaseRoute) -> list[Entry]:
    made: Dialect = Made(*routes)
    return dialect_entries(made)


def test_a_route_may_follow_a_page_of_its_own() -> None:
    routes = [
        *serve(("/a/{thing:path}", "/b/"), PAGE, method="GET", describe=do),
        *serve(("/a",), PAGE, method="POST", describe=do, source="https://other.example/"),
    ]
    assert entries(*routes) == [
        Entry("GET", "/a/{thing}", ("/b",), "Does it, and | well.", Made.source),
        Entry("POST", "/a", (), "Does it, and | well.", "https://other.example/"),
    ]


def test_a_route_that_says_nothing_is_told() -> None:
    hidden = Route("/hidden", PAGE, methods=["GET"])
    with pytest.raises(ValueError, match="/hidden"):
        entries(hidden)
    shown = serve(("/a",), PAGE, method="POST", describe=do)
    with pytest.raises(ValueError, match="/hidden"):  # the same endpoint by another method is another request
        entries(*shown, hidden)
