"""The commonest mistake in Triton's address: the HTTP port instead of gRPC's."""

from __future__ import annotations

import httpx

from gateway.errors import ConfigurationError
from gateway.triton.endpoint import DEFAULT_GRPC_PORT

_HTTP_TIMEOUT_SECONDS = 1.0


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
