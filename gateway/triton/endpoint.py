"""Triton's address as an operator wrote it."""

from __future__ import annotations

from gateway.errors import ConfigurationError

DEFAULT_GRPC_PORT = 8001
DEFAULT_HTTP_PORT = 8000
_SCHEMES = ("grpc://", "http://", "https://", "tcp://")


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
