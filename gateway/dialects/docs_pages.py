"""Interactive API documentation that needs nothing from outside: Swagger UI and ReDoc from a package's own files.

`fastapi_offline` carries the two bundles. The pages are ours, because its inline script would need a weaker content
security policy than one that lets nothing but this origin in.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from gateway.dialects.pages import Page, json_response

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
    "favicon.png": "image/png",
}

_SWAGGER_START = (
    'SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null, '
    "presets: [SwaggerUIBundle.presets.apis], layout: 'BaseLayout'});\n"
)

_SWAGGER_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Embeddings gateway: try it</title>
<link rel="icon" href="docs-assets/favicon.png">
<link rel="stylesheet" href="docs-assets/swagger-ui.css">
</head>
<body>
<div id="docs"></div>
<script src="docs-assets/swagger-ui-bundle.js"></script>
<script src="docs-assets/start-swagger.js"></script>
</body>
</html>
"""

_REDOC_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Embeddings gateway: reference</title>
<link rel="icon" href="docs-assets/favicon.png">
</head>
<body>
<redoc spec-url="openapi.json" disable-google-font="true" hide-logo="true"></redoc>
<script src="docs-assets/redoc.standalone.js"></script>
</body>
</html>
"""


class DocsPages:
    """`/docs`, `/redoc`, `/openapi.json` and what they load. `describe` makes the OpenAPI document."""

    def __init__(self, *, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe
        self._folder = files("fastapi_offline") / "static"

    def routes(self) -> list[BaseRoute]:
        answers = {
            "/docs": _fixed(_SWAGGER_PAGE, "text/html"),
            "/redoc": _fixed(_REDOC_PAGE, "text/html"),
            "/docs-assets/start-swagger.js": _fixed(_SWAGGER_START, "text/javascript"),
            "/openapi.json": self._openapi,
        } | {f"/docs-assets/{name}": self._asset(name, media_type) for name, media_type in _ASSETS.items()}
        return [
            Route(path, Page("docs", answer), methods=["GET"], include_in_schema=False)
            for path, answer in answers.items()
        ]

    def _openapi(self, _scope: Scope) -> Response:
        return json_response(self._describe(), headers=_HEADERS)

    def _asset(self, name: str, media_type: str) -> Callable[[Scope], Response]:
        path = str(self._folder / name)
        headers = _HEADERS | {"cache-control": "max-age=86400"}
        return lambda _scope: FileResponse(path, media_type=media_type, headers=headers)


def _fixed(content: str, media_type: str) -> Callable[[Scope], Response]:
    return lambda _scope: Response(content, media_type=media_type, headers=_HEADERS)
