"""Both of the real server's protocols side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest

from gateway.errors import GatewayError
from gateway.triton.engine import InferCall, Tensor
from gateway.triton.grpc_engine import GrpcEngine
from tests.conftest import ServedTriton


@pytest.fixture
async def engines(embedded_triton: ServedTriton) -> AsyncIterator[tuple[GrpcEngine, GrpcEngine]]:
    """By gRPC, and by HTTP: nothing else can answer there."""
    pair = GrpcEngine(embedded_triton.grpc), GrpcEngine("127.0.0.1:9", http_address=embedded_triton.http)
    yield pair
    for one in pair:
        await one.close()


@pytest.mark.triton
async def test_the_real_server_gives_the_same_by_both_protocols(
    engines: tuple[GrpcEngine, GrpcEngine], embedded_triton: ServedTriton
) -> None:
    ids = np.array([[101, 7592, 102], [101, 2088, 102]], dtype=np.int64)
    good: dict[str, Tensor] = {
        "input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)
    }  # fmt: skip
    model, wanted = embedded_triton.model, ("sentence_embedding", "last_hidden_state")
    for urgent in (False, True):
        call = InferCall(model, good, wanted, urgent=urgent)
        expected, found = [await one.infer(call, timeout_seconds=30) for one in engines]
        for name in wanted:
            np.testing.assert_array_equal(found[name], expected[name])
    for bad in (
        InferCall("nope", good, ("a",)),
        InferCall(model, good, ("nope",)),
        InferCall(model, {**good, "input_ids": np.full_like(ids, 10**9)}, wanted),
        InferCall(model, {**good, "input_ids": ids[:, :2]}, wanted),
        InferCall(model, {"input_ids": ids}, wanted),
    ):
        errors = []
        for one in engines:
            with pytest.raises(GatewayError) as refused:
                await one.infer(bad, timeout_seconds=30)
            errors.append((type(refused.value), refused.value.code))
        assert errors[0] == errors[1]
