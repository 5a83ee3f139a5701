"""Lets a request in by API key, before a byte of its body is read."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable, Iterator

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import Unauthenticated

_KEY_HEADERS = frozenset({b"api-key", b"x-api-key"})
_SCHEME = b"bearer"


class Auth:
    """Accepts `Authorization: Bearer KEY`, `api-key: KEY` or `x-api-key: KEY`; any one right key is enough.

    Only digests of the keys are kept, and each is compared in constant time whether or not an earlier one fitted.
    """

    def __init__(self, app: ASGIApp, *, keys: Iterable[str], open_paths: Collection[str]) -> None:
        self._app = app
        self._digests = tuple(_digest(key.encode()) for key in keys)
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            self._check(scope["headers"])
        await self._app(scope, receive, send)

    def _check(self, headers: list[tuple[bytes, bytes]]) -> None:
        presented = list(presented_keys(headers))
        if not presented:
            raise Unauthenticated(
                "No API key was given. Send it as `Authorization: Bearer KEY`, `api-key: KEY` or `x-api-key: KEY`."
            )
        if not any(self._is_known(key) for key in presented):
            raise Unauthenticated("The API key is not one of this gateway's keys. Ask its operator for one.")

    def _is_known(self, key: bytes) -> bool:
        digest = _digest(key)
        known = False
        for own in self._digests:
            known |= hmac.compare_digest(digest, own)
        return known


def presented_keys(headers: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Every non-empty key that the headers carry; an empty `Authorization` header counts as none."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, key = value.strip().partition(b" ")
            if scheme.lower() == _SCHEME and key.strip():
                yield key.strip()
        elif name in _KEY_HEADERS and value.strip():
            yield value.strip()


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
