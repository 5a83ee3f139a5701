"""Lets a request in by API key, before a byte of its body is read."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import Unauthenticated
from gateway.telemetry.callers import attach_caller, attach_key_defaults
from gateway.types import KeyDefaults

_KEY_HEADERS = frozenset({b"api-key", b"x-api-key", b"x-goog-api-key"})
_QUERY_FIELD = "key"
_BYTES = "latin-1"  # a letter a byte: keys are compared as bytes
_MAX_QUERY_FIELDS = 32
_SCHEME = b"bearer"
_LOOKING = ("GET", "HEAD")
# What makes a caller's name another digest than the one a key is recognised by.
_CALLER_CONTEXT = b"gateway caller"
# One for each header that may carry a key, and one to spare: each costs a comparison with every key of the gateway.
_MOST_PRESENTED = 4


@dataclass(frozen=True, slots=True)
class _Holder:
    """Whose key it is, by an opaque name, and what the key stands for."""

    name: str
    defaults: KeyDefaults | None


class Auth:
    """Accepts `Authorization: Bearer KEY`, `api-key: KEY`, `x-api-key: KEY` or `x-goog-api-key: KEY`, and on some paths
    `?key=KEY`; any one right key is enough. A request that presents more than four keys is refused, whichever they are.

    Only digests of the keys are kept, and each is compared in constant time whether or not an earlier one fitted.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Iterable[str],
        open_paths: Collection[str],
        defaults: Mapping[str, KeyDefaults] | None = None,
        key_in_query: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`defaults` is, by key, what some of the keys stand for in requests that leave it open. `key_in_query` says of
        a path whether a key may be in its query: addresses end up in logs on their way here, so it is an exception."""
        self._app = app
        self._holders = {_digest(key.encode()): _Holder(caller_name(key), (defaults or {}).get(key)) for key in keys}
        self._open_paths = frozenset(open_paths)
        self._key_in_query = key_in_query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_open(scope):
            holder = self._holder(chain(presented_keys(scope["headers"]), self._query_keys(scope)))
            attach_caller(scope, holder.name)
            if holder.defaults is not None:
                attach_key_defaults(scope, holder.defaults)
        await self._app(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        """To look at: what is sent to such a path (`POST /` embeds) needs a key as anywhere."""
        return scope["path"] in self._open_paths and scope["method"] in _LOOKING

    def _query_keys(self, scope: Scope) -> Iterator[bytes]:
        return query_keys(scope["query_string"]) if self._key_in_query(scope["path"]) else iter(())

    def _holder(self, given: Iterable[bytes]) -> _Holder:
        """The first right key's holder. Raises `Unauthenticated` where no key is right, or too many are presented."""
        presented = list(islice(given, _MOST_PRESENTED + 1))
        if not presented:
            raise Unauthenticated(
                "No API key was given. Send it as `Authorization: Bearer KEY`, `api-key: KEY` or `x-api-key: KEY`."
            )
        if len(presented) > _MOST_PRESENTED:
            raise Unauthenticated(f"More than {_MOST_PRESENTED} API keys were given. Send one, in one header.")
        holders = [holder for key in presented if (holder := self._holder_of(key)) is not None]
        if not holders:
            raise Unauthenticated("The API key is not one of this gateway's keys. Ask its operator for one.")
        return holders[0]

    def _holder_of(self, key: bytes) -> _Holder | None:
        digest = _digest(key)
        found = None
        for own, holder in self._holders.items():
            if hmac.compare_digest(digest, own):
                found = holder
        return found


def caller_name(key: str) -> str:
    """An opaque name for whoever holds `key`: 32 hex digits, the same in every process, so that processes may share
    what is kept by it. Nothing of a key shows in it, as long as keys are random."""
    return hmac.digest(_CALLER_CONTEXT, key.encode(), "sha256").hex()[:32]


def presented_keys(headers: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Every non-empty key that the headers carry; an empty `Authorization` header counts as none."""
    for name, value in headers:
        if name == b"authorization":
            scheme, _, key = value.strip().partition(b" ")
            if scheme.lower() == _SCHEME and key.strip():
                yield key.strip()
        elif name in _KEY_HEADERS and value.strip():
            yield value.strip()


def query_keys(query: bytes) -> Iterator[bytes]:
    """Every non-empty `key` of a query string; none of one that has too many fields to be looked at."""
    try:
        fields = parse_qsl(query.decode(_BYTES), encoding=_BYTES, max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:
        return
    for name, value in fields:
        if name == _QUERY_FIELD and value.strip():
            yield value.strip().encode(_BYTES)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
