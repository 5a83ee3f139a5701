"""Binds bare ASGI endpoints to paths and documents them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES = re.compile("//+")


def plain_path(path: str) -> str:
    """`path` with one slash wherever there are several: of a base URL that ends in one, and a path put behind it."""
    return _SLASHES.sub("/", path)


Responses = Mapping[int | str, Mapping[str, Any]]


@cache
def _response_field(model: type[BaseModel]) -> Any:
    """What FastAPI documents an answer with. It would make one for each status of each route: 450 for a handful of
    models, two thirds of what the routes of all APIs take to make."""
    return APIRoute("/", _response_field, responses={"default": {"model": model}}).response_fields["default"]


class DocumentedRoute(APIRoute):
    """A route that FastAPI documents from `describe`'s signature and a bare ASGI `endpoint` answers.

    FastAPI's own handling (dependencies, validation, response models) costs more than the rest of a short request.
    `source` is the address of the page that the route follows, "" where that is its dialect's.
    """

    def __init__(
        self,
        path: str,
        endpoint: ASGIApp,
        *,
        describe: Callable[..., Any],
        source: str = "",
        responses: Responses | None = None,
        **documentation: Any,
    ) -> None:
        models = {status: response["model"] for status, response in (responses or {}).items() if "model" in response}
        plain = {
            status: {name: value for name, value in response.items() if name != "model"}
            for status, response in (responses or {}).items()
        }
        super().__init__(path, describe, responses=plain, **documentation)
        self.response_fields |= {status: _response_field(model) for status, model in models.items()}
        self.app = endpoint
        self.source = source


class ExactRoutes:
    """Sends a request whose method and path are known word for word straight to its endpoint, all others to `router`;
    a path with a slash too many as it is without.

    One look-up instead of trying routes in turn: measured 2026-11 on 2 shared Zen 5 cores, 20 of 72 us a request.
    """

    def __init__(self, router: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._router = router
        self._endpoints: dict[tuple[str, str], ASGIApp] = {}
        self._methods: dict[str, set[str]] = {}
        for route in routes:
            if isinstance(route, Route) and not route.param_convertors:
                self._methods.setdefault(route.path, set()).update(route.methods or ())
                for method in route.methods or ():
                    self._endpoints.setdefault((method, route.path), route.app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["root_path"]:
            endpoint = self._endpoints.get((scope["method"], scope["path"]))
            if endpoint is None:
                endpoint = self._router
                if "//" in scope["path"]:
                    await self({**scope, "path": plain_path(scope["path"])}, receive, send)
                    return
        else:
            endpoint = self._router
        try:
            await endpoint(scope, receive, send)
        except HTTPException as error:
            methods = self._methods.get(scope["path"])
            if error.status_code != 405 or methods is None:
                raise
            # The router names those of a single route of the path.
            raise HTTPException(405, headers={"Allow": ", ".join(sorted(methods))}) from None


def serve(
    paths: Sequence[str],
    endpoint: ASGIApp,
    *,
    method: str,
    describe: Callable[..., Any],
    **documentation: Any,
) -> list[BaseRoute]:
    """Routes for every path in `paths`, each with and without a trailing slash; only the first is documented.

    Serving both forms, rather than redirecting, keeps the body of clients that do not repeat it. GET answers HEAD too.
    `documentation` is what `DocumentedRoute` and FastAPI's own routes take: `source`, `responses`, `tags` and others.
    """
    methods = [method, "HEAD"] if method == "GET" else [method]
    main = DocumentedRoute(paths[0], endpoint, describe=describe, methods=[method], **documentation)
    others = [form for path in paths for form in (path, path.rstrip("/") + "/") if form]
    return [main, *(Route(path, endpoint, methods=methods, include_in_schema=False) for path in others)]
