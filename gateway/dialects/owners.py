"""Whose words an error is put in: those of the API that serves the path, not of the one whose paths look alike.

`/v1/embed` is Cohere's and `/v1/embeddings` is OpenAI's, so prefixes decide only where nobody serves a path.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.dialects.base import Dialect
from gateway.dialects.faults import fault_of
from gateway.dialects.routing import plain_path

DialectRoutes = Sequence[tuple[Dialect, Sequence[BaseRoute]]]
"""Every dialect with its routes, made once: FastAPI takes over 100 ms for those of all APIs."""

_PARAMETER = re.compile(r"\{[^}]*\}")


class PathOwners:
    """Finds a path's dialect. Of several that serve one path, the first of `routes` owns it; of several patterns that
    fit it, the one that leaves least open: `/v1/models/{model}:embedContent` goes before `/v1/models/{model}`."""

    def __init__(self, routes: DialectRoutes, *, default: Dialect) -> None:
        dialects = [dialect for dialect, _ in routes]
        self._default = default
        self._by_name = {dialect.name: dialect for dialect in dialects}
        self._by_path: dict[str, Dialect] = {}
        self._by_pattern: list[tuple[int, re.Pattern[str], Dialect]] = []
        for dialect, own in routes:
            self._add_routes(dialect, own)
        self._by_pattern.sort(key=lambda owner: owner[0], reverse=True)
        self._by_prefix = sorted(
            ((prefix, dialect) for dialect in dialects for prefix in dialect.path_prefixes),
            key=lambda owner: len(owner[0]),
            reverse=True,
        )

    def _add_routes(self, dialect: Dialect, routes: Iterable[BaseRoute]) -> None:
        for route in routes:
            if not isinstance(route, Route):
                continue
            if route.param_convertors:
                fixed_characters = len(_PARAMETER.sub("", route.path))
                self._by_pattern.append((fixed_characters, route.path_regex, dialect))
            else:
                self._by_path.setdefault(route.path, dialect)

    def of(self, path: str, *, spoken: str = "") -> Dialect:
        """By the API that the request turned out to be of, `spoken`; else by the route that serves the path; else by
        the longest prefix; else the default."""
        path = plain_path(path)
        return (
            self._by_name.get(spoken)
            or self._by_path.get(path)
            or next((dialect for _, pattern, dialect in self._by_pattern if pattern.match(path)), None)
            or next((dialect for prefix, dialect in self._by_prefix if path.startswith(prefix)), self._default)
        )


def error_renderer(
    routes: DialectRoutes, *, default: Dialect
) -> Callable[[str, Exception, str, str], tuple[Response, str]]:
    """How a path's errors are put, by the rule of `PathOwners.of`.

    From a path, an error, the request's id and the name of the API that it turned out to be of ("" where the path says
    it all) to the answer and the fault's stable code.
    """
    owners = PathOwners(routes, default=default)

    def render(path: str, error: Exception, request_id: str, spoken: str) -> tuple[Response, str]:
        fault = fault_of(error)
        return owners.of(path, spoken=spoken).render_fault(fault, request_id=request_id), fault.code

    return render
