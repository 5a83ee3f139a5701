"""Triton's own sentences, as read from 2.51 and its sources, become the gateway's errors."""

from __future__ import annotations

import grpc
import pytest

from gateway.errors import BackendProcessDied, DeadlineExceeded, EngineUnavailable, InferenceFailed
from gateway.triton.grpc_errors import engine_error, scrub

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (Code.INTERNAL, "Stub process 'all-MiniLM-L6-v2_0_0' is not healthy.", BackendProcessDied),
        (Code.INTERNAL, "Stub process is unhealthy and it will be restarted.", BackendProcessDied),
        (Code.UNAVAILABLE, "Stream removed (Socket closed)", EngineUnavailable),
        (Code.UNAVAILABLE, "failed to connect to all addresses", EngineUnavailable),
        (Code.CANCELLED, "CANCELLED", EngineUnavailable),
        (Code.NOT_FOUND, "Request for unknown model: 'nope' is not found", EngineUnavailable),
        (Code.NOT_FOUND, "Request for unknown model: 'm' has no available versions", EngineUnavailable),
        (Code.UNAVAILABLE, "Request for unknown model: 'm' version 1 is not at ready state", EngineUnavailable),
        (Code.UNAVAILABLE, "explicit model load / unload is not allowed if polling is enabled", InferenceFailed),
        (Code.DEADLINE_EXCEEDED, "Deadline Exceeded", DeadlineExceeded),
        (Code.INVALID_ARGUMENT, "unexpected inference output 'nope' for model 'm'", InferenceFailed),
        (Code.INTERNAL, "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Non-zero status code", InferenceFailed),
        (Code.INTERNAL, None, InferenceFailed),
    ],
)
def test_codes_and_sentences(code: grpc.StatusCode, details: str | None, kind: type) -> None:
    none = grpc.aio.Metadata()
    assert type(engine_error(grpc.aio.AioRpcError(code, none, none, details=details))) is kind


def test_paths_shared_memory_and_addresses_are_hidden() -> None:
    told = scrub(
        "Failed at /opt/models/secret/model.onnx in\n triton_python_backend_shm_region_1 at 0x7f00aa: " + "x" * 999
    )
    for private in ("secret", "opt", "shm_region", "0x7f", "\n"):
        assert private not in told
    assert told.startswith("Failed at (hidden) in (hidden) at (hidden)")
    assert len(told) == 300
