"""Lists what the app answers, route by route, for the generated API reference: a route that is served is in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from starlette.routing import BaseRoute, Route

from gateway.dialects.base import Dialect
from gateway.dialects.routing import DocumentedRoute

_HEAD = "HEAD"


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that is answered: at `path` and, in the same way, at `other_paths`; each with or without a slash at
    its end. `source` is the page that it follows, "" where it is the gateway's own."""

    method: str
    path: str
    other_paths: tuple[str, ...]
    what: str
    source: str


def dialect_entries(dialect: Dialect) -> list[Entry]:
    """An entry for each route of an API. Raises `ValueError` for one that `serve` did not make."""
    routes = dialect.routes()
    undocumented = undocumented_routes(routes)
    if undocumented:
        raise ValueError(f"{dialect.name} serves {undocumented[0]} without saying what it does. Bind it by `serve`.")
    return route_entries(routes, source=dialect.source)


def route_entries(routes: Sequence[BaseRoute], *, source: str) -> list[Entry]:
    """An entry for each documented route and method; `source` is that of routes that name none."""
    return [
        Entry(
            method=method,
            path=_shown(route.path),
            other_paths=_other_paths(route, routes),
            what=" ".join(route.description.split()),
            source=route.source or source,
        )
        for route in routes
        if isinstance(route, DocumentedRoute)
        for method in sorted(_methods(route) - {_HEAD})
    ]


def other_routes(routes: Sequence[BaseRoute], dialects: Sequence[Dialect]) -> list[BaseRoute]:
    """Those of an app's routes that are no API's: its own pages."""
    spoken = {_request(route) for dialect in dialects for route in dialect.routes()}
    return [route for route in routes if _request(route) not in spoken]


def _request(route: BaseRoute) -> tuple[str, frozenset[str]]:
    return getattr(route, "path", ""), _methods(route)


def _methods(route: BaseRoute) -> frozenset[str]:
    return frozenset(getattr(route, "methods", None) or ())


def undocumented_routes(routes: Sequence[BaseRoute]) -> list[str]:
    """The paths of what is no documented route and none's other spelling."""
    documented = [route for route in routes if isinstance(route, DocumentedRoute)]
    return [
        str(getattr(route, "path", route))
        for route in routes
        if not any(route is other or _is_spelling(route, other) for other in documented)
    ]


def _other_paths(documented: DocumentedRoute, routes: Sequence[BaseRoute]) -> tuple[str, ...]:
    """Each once, without the slash at its end, in the order of the routes."""
    paths = [route.path.rstrip("/") or "/" for route in routes if _is_spelling(route, documented)]
    return tuple(_shown(path) for path in dict.fromkeys(paths) if path != documented.path)


def _is_spelling(route: BaseRoute, documented: DocumentedRoute) -> TypeGuard[Route]:
    """Whether both lead to one endpoint by one method."""
    return (
        isinstance(route, Route)
        and not isinstance(route, DocumentedRoute)
        and route.app is documented.app
        and _methods(documented) <= _methods(route)
    )


def _shown(path: str) -> str:
    """`{model}` for `{model:path}`."""
    return re.sub(r":\w+}", "}", path)
