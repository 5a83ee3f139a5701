"""Fetching an image's file from a URL that a stranger gave, without being made to reach what the stranger cannot.

httpcore alone, not httpx: no redirects but those followed here, no cookies, no proxies from the environment, no
decompression. Whatever goes wrong on the way there is told in one sentence, which tells nothing about the network here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urljoin

import httpcore

from gateway.images.dialling import CheckedBackend, RefusedAddress, Resolve, SystemResolver
from gateway.images.refusals import UnusableImage
from gateway.images.url_policy import RefusedUrl, Target, UrlPolicy
from gateway.telemetry.metrics import ImageRefusal

_MOST_REDIRECTS = 3
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_OK = 200
# Each piece costs the event loop some 15 us, and one byte a piece is a million of them within the time of a fetch.
_SMALL_PIECES = 1000
_LEAST_PIECE_BYTES = 256
_USER_AGENT = "triton-embeddings-gateway (fetches images that its users name)"


class UnfetchableImage(UnusableImage):
    """A URL leads to no file that can be had."""

    refusal = ImageRefusal.UNREACHABLE


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """`seconds` is for one image from its name's resolution to its last byte, all redirects included."""

    max_bytes: int
    seconds: float


class ImageFetcher:
    """Fetches files by URL. `resolve` and `network` are the system's own unless given."""

    def __init__(
        self,
        policy: UrlPolicy,
        limits: FetchLimits,
        *,
        resolve: Resolve | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._policy = policy
        self._limits = limits
        self._resolve = resolve or SystemResolver()
        self._network = network or httpcore.AnyIOBackend()
        self._tls: ssl.SSLContext | None = None

    async def fetch(self, url: str) -> bytes:
        """The file behind `url`. Raises `UnfetchableImage`."""
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await self._follow(url)
        except RefusedUrl as refused:
            raise UnfetchableImage(refused.reason, refusal=refused.refusal) from None
        except (TimeoutError, RefusedAddress, OSError, *_HTTP_FAULTS):
            raise self._unreachable() from None

    async def _follow(self, url: str) -> bytes:
        for _ in range(_MOST_REDIRECTS + 1):
            target = self._policy.check(url)
            found = await self._ask(target)
            if isinstance(found, bytes):
                return found
            url = found
        raise UnfetchableImage(f"has an image URL that redirects more than {_MOST_REDIRECTS} times")

    async def _ask(self, target: Target) -> bytes | str:
        """The file, or where it is said to be instead. One connection, for this request alone."""
        tls = await self._tls_context() if target.scheme == "https" else None
        connection = httpcore.AsyncHTTPConnection(
            httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port),
            ssl_context=tls,
            network_backend=CheckedBackend(target, self._resolve, self._network),
        )
        try:
            async with connection.stream("GET", _wire_url(target), headers=_headers(target)) as response:
                return await self._read(response, target)
        finally:
            with suppress(*_HTTP_FAULTS, OSError):
                await connection.aclose()

    async def _read(self, response: httpcore.Response, target: Target) -> bytes | str:
        if response.status in _REDIRECTS:
            return _destination(target, response)
        if response.status != _OK:
            raise self._unreachable() if target.private else UnfetchableImage(_no_file(response.status))
        if _one_header(response, b"content-encoding").lower() not in ("", "identity"):
            raise UnfetchableImage("has an image URL whose server sends it compressed although asked not to")
        declared = _one_header(response, b"content-length")
        if declared.isdecimal() and int(declared[:20]) > self._limits.max_bytes:
            raise self._too_large()
        return await self._body(response)

    async def _body(self, response: httpcore.Response) -> bytes:
        response.extensions["network_stream"].head_is_read()
        content = bytearray()
        pieces = 0
        async for piece in response.aiter_stream():
            if len(content) + len(piece) > self._limits.max_bytes:
                raise self._too_large()
            content += piece
            pieces += 1
            if pieces > _SMALL_PIECES + len(content) // _LEAST_PIECE_BYTES:
                raise UnfetchableImage("has an image URL whose server sends the file in far too many small pieces")
        return bytes(content)

    async def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            # Reading the authorities' file takes tens of milliseconds.
            self._tls = await asyncio.to_thread(_trusting_context)
        return self._tls

    def _too_large(self) -> UnfetchableImage:
        return UnfetchableImage(
            f"has an image URL with a file of more than {self._limits.max_bytes} bytes, the most that is read here",
            refusal=ImageRefusal.TOO_LARGE,
        )

    def _unreachable(self) -> UnfetchableImage:
        return UnfetchableImage(
            "has an image URL that could not be fetched. It must lead, on the public internet and within "
            f"{self._limits.seconds:g} seconds, to the image's file; else send the file's bytes in base64"
        )


# What httpcore raises when a server, or what is in between, does not keep to HTTP.
_HTTP_FAULTS = (
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    httpcore.ConnectionNotAvailable,
)


def _trusting_context() -> ssl.SSLContext:
    """Trusts the web's usual authorities, and those that the system or `SSL_CERT_FILE` names besides."""
    context = httpcore.default_ssl_context()
    context.load_default_certs()
    return context


def _wire_url(target: Target) -> httpcore.URL:
    return httpcore.URL(
        scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
    )


def _headers(target: Target) -> Sequence[tuple[bytes, bytes]]:
    return (
        (b"Host", target.authority.encode()),
        (b"User-Agent", _USER_AGENT.encode()),
        (b"Accept", b"image/jpeg, image/png, image/webp"),
        (b"Accept-Encoding", b"identity"),
        (b"Connection", b"close"),
    )


def _destination(target: Target, response: httpcore.Response) -> str:
    try:
        return urljoin(target.url, _one_header(response, b"location"))
    except ValueError:
        raise RefusedUrl("has an image URL that redirects to what is no URL") from None


def _one_header(response: httpcore.Response, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in response.headers if key.lower() == name), "").strip()


def _no_file(status: int) -> str:
    return f"has an image URL whose server answered with status {status} instead of the file"
