"""Triton's address as an operator wrote it, and the commonest mistake in it: the HTTP port instead of gRPC's."""

from __future__ import annotations

import httpx

from gateway.errors import ConfigurationError

DEFAULT_GRPC_PORT = 8001
DEFAULT_HTTP_PORT = 8000
_SCHEMES = ("grpc://", "http://", "https://", "tcp://")
_HTTP_TIMEOUT_SECONDS = 1.0


def grpc_address(url: str) -> str:
    """`host:port` out of `host`, `host:port`, `grpc://host:port/` and the like; the port is 8001 where none is named.

    Raises `ConfigurationError` when there is no host or the port is no number.
    """
    return _address(url, default_port=DEFAULT_GRPC_PORT, variable="TRITON_URL")


def http_address(url: str) -> str:
    """As `grpc_address`, of Triton's HTTP endpoint; the port is 8000 where none is named."""
    return _address(url, default_port=DEFAULT_HTTP_PORT, variable="GATEWAY_TRITON_HTTP_URL")


def _address(url: str, *, default_port: int, variable: str) -> str:
    rest = url.strip()
    for scheme in _SCHEMES:
        if rest.lower().startswith(scheme):
            rest = rest[len(scheme) :]
    rest = rest.split("/", 1)[0]
    host, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        host, port = rest, str(default_port)
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigurationError(
            f"{url!r} is not an address of Triton.",
            remedy=f"Set {variable} to host:port, for example 127.0.0.1:{default_port}.",
        )
    return f"{host}:{port}"


async def http_port_mistake(address: str) -> ConfigurationError | None:
    """The explanation to give when gRPC gets no answer at `address` but Triton's HTTP server does; else None.

    Never raises: it is asked when something is wrong already.
    """
    url = f"http://{address}/v2/health/live"
    try:
        # Nothing here speaks TLS, and making a context for it blocks the loop for 20 ms a question.
        async with httpx.AsyncClient(timeout=_HTTP_TIMEOUT_SECONDS, trust_env=False, verify=False) as client:
            response = await client.get(url)
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    if response.status_code not in (200, 400, 503):
        return None
    return ConfigurationError(
        f"{address} answers HTTP, not gRPC: it is Triton's HTTP port.",
        remedy=f"Point TRITON_URL at Triton's gRPC port, {DEFAULT_GRPC_PORT} unless it was moved with --grpc-port.",
    )
