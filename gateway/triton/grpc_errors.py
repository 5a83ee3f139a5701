"""gRPC's status codes, and Triton's sentences by either protocol, as the gateway's errors.

The sentences were read from Triton 2.51.
"""

from __future__ import annotations

import re

import grpc

from gateway.errors import BackendProcessDied, DeadlineExceeded, EngineUnavailable, GatewayError, InferenceFailed

# INTERNAL: Stub process 'NAME_0_0' is not healthy. Older: Stub process is unhealthy and it will be restarted.
_DEAD_STUB = re.compile(r"stub process.*(not healthy|unhealthy|restarted)", re.IGNORECASE | re.DOTALL)
# NOT_FOUND: Request for unknown model: 'NAME' is not found | has no available versions. UNAVAILABLE: ... is not ready
_NOT_LOADED = re.compile(r"request for unknown model|is not ready|no available versions", re.IGNORECASE)
# UNAVAILABLE: explicit model load / unload is not allowed if polling is enabled
_CONTROL_REFUSED = re.compile(r"load.*is not allowed", re.IGNORECASE)

_PRIVATE = re.compile(r"(/[\w.\-]+){2,}|\btriton_\w+\b|0x[0-9a-f]+", re.IGNORECASE)
_LONGEST_DETAIL = 300

_LOST = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


def engine_error(error: grpc.aio.AioRpcError) -> GatewayError:
    """The gateway's error for a failed call to Triton."""
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and not _DEAD_STUB.search(details):
        return DeadlineExceeded("Triton did not answer in time.")
    return answered_error(details, said=code.name, lost=code in _LOST)


def answered_error(details: str, *, said: str, lost: bool) -> GatewayError:
    """The gateway's error for Triton's sentence `details`, by whatever protocol it came; `said` is that protocol's word
    for it, and `lost` whether it means that the server is not there."""
    if _DEAD_STUB.search(details):
        return BackendProcessDied("The process that runs this model has died and is being restarted.")
    if _CONTROL_REFUSED.search(details):
        return InferenceFailed(f"Triton refuses model control: {scrub(details)}", code="model_control_refused")
    if _NOT_LOADED.search(details):
        return EngineUnavailable("Triton is not serving this model at the moment.", code="model_not_loaded")
    if lost:
        return EngineUnavailable("Triton cannot be reached at the moment.")
    return InferenceFailed(f"Triton answered with an error ({said}): {scrub(details)}")


def scrub(details: str) -> str:
    """A server's sentence without paths, shared-memory names and addresses, and not longer than a line or two."""
    return _PRIVATE.sub("(hidden)", " ".join(details.split()))[:_LONGEST_DETAIL]
