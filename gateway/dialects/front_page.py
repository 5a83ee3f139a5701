"""What a browser gets at `/`: a page to look at vectors with, and the files that it loads.

The files are served as they are, without a build step. The policy lets nothing run or load but them, so that a text
which somebody pastes can become nothing but text.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import PurePosixPath

from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Scope

from gateway.dialects.pages import Page

_FOLDER = "front_page"
_PAGE = "index.html"
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

ASSETS = (
    "icon.svg",
    "layout.css",
    "results.css",
    "views.css",
    "answers.js",
    "chunks_view.js",
    "controls.js",
    "elements.js",
    "errors.js",
    "example_pictures.js",
    "examples.js",
    "gateway.js",
    "heat_map.js",
    "map_view.js",
    "models.js",
    "page.js",
    "projection.js",
    "questions.js",
    "ranking_view.js",
    "request_text.js",
    "request_view.js",
    "similarity.js",
    "texts.js",
    "timing_view.js",
)

ASSET_PATHS = tuple(f"/page-assets/{name}" for name in ASSETS)
"""Answered without an API key, as a browser sends none for what a page loads: they are the same for everybody."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # Asked for again each time, and answered 304: a page of one version with a script of another would be worse.
    "cache-control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    etag: str


class FrontPage:
    """The page, and `/page-assets/...`. Reads its files when it is made."""

    def __init__(self) -> None:
        self._page = _read(_PAGE)
        self._assets = {path: _read(name) for path, name in zip(ASSET_PATHS, ASSETS, strict=True)}

    def routes(self) -> list[BaseRoute]:
        """Of what the page loads; `/` itself is no browser's alone."""
        return [
            Route(path, Page("page_asset", partial(_response, file)), methods=["GET"], include_in_schema=False)
            for path, file in self._assets.items()
        ]

    def answer(self, scope: Scope) -> Response:
        """The page itself."""
        return _response(self._page, scope)


def _read(name: str) -> _File:
    content = (files("gateway.dialects") / _FOLDER / name).read_bytes()
    return _File(content, _MEDIA_TYPES[PurePosixPath(name).suffix], f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _response(file: _File, scope: Scope) -> Response:
    """The file, or 304 for whoever has it."""
    headers = _HEADERS | {"etag": file.etag}
    known = [value for name, value in scope["headers"] if name == b"if-none-match"]
    if any(file.etag.encode() in value for value in known):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
