"""The gRPC engine against the real server, and against one that answers wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import numpy as np
import pytest
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from gateway.errors import DeadlineExceeded, EngineUnavailable, InferenceFailed, InvalidVector
from gateway.triton.engine import InferCall, Instances, Tensor
from gateway.triton.grpc_engine import GrpcEngine
from gateway.triton.tensor_types import timeout_microseconds
from tests.conftest import ServedTriton

IDS = np.array([[101, 7592, 102], [101, 2088, 102]], dtype=np.int64)
INPUTS: dict[str, Tensor] = {
    "input_ids": IDS,
    "attention_mask": np.ones_like(IDS),
    "token_type_ids": np.zeros_like(IDS),
}


class Answering(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """A Triton that gives whatever `answer` holds."""

    answer = service_pb2.ModelInferResponse()
    hold = False
    request: object = None

    def __init__(self) -> None:
        self.config = service_pb2.ModelConfigResponse()

    async def ModelConfig(self, request: object, context: object) -> object:  # noqa: N802 - the stub's own name
        return self.config

    async def ModelInfer(self, request: object, context: object) -> object:  # noqa: N802 - the stub's own name
        self.request = request
        if self.hold:
            await asyncio.sleep(3600)
        return self.answer


@pytest.fixture
async def answering() -> AsyncIterator[tuple[Answering, GrpcEngine]]:
    servicer = Answering()
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    engine = GrpcEngine(f"127.0.0.1:{port}")
    yield servicer, engine
    await engine.close()
    await server.stop(None)


@pytest.fixture
async def engine(embedded_triton: ServedTriton) -> AsyncIterator[GrpcEngine]:
    engine = GrpcEngine(embedded_triton.grpc)
    yield engine
    await engine.close()


def response(*outputs: tuple[str, str, tuple[int, ...], bytes]) -> service_pb2.ModelInferResponse:
    answer = service_pb2.ModelInferResponse()
    for name, datatype, shape, raw in outputs:
        output = answer.outputs.add()
        output.name, output.datatype = name, datatype
        output.shape.extend(shape)
        answer.raw_output_contents.append(raw)
    return answer


async def test_a_tensors_own_bytes_are_sent_whatever_it_is_a_view_of(answering: tuple[Answering, GrpcEngine]) -> None:
    servicer, engine = answering
    servicer.answer = response(("a", "FP32", (0,), b""))
    whole = np.frombuffer(b"0123456789ab", dtype=np.uint8)
    tensors = {
        "whole": whole,
        "part": np.ndarray((4,), np.uint8, buffer=b"0123456789ab", offset=3),
        "turned": np.ndarray((4, 3), np.uint8, buffer=b"0123456789ab", strides=(1, 4)),
        "wider": np.frombuffer(b"0123456789ab", dtype=np.int32),
        "twice": np.broadcast_to(whole, (2, 12)),
    }
    await engine.infer(InferCall("any", tensors, ("a",)), timeout_seconds=5)
    contents = servicer.request.raw_input_contents  # type: ignore[attr-defined]
    assert list(contents) == [b"0123456789ab", b"3456", b"04815926a37b", b"0123456789ab", 2 * b"0123456789ab"]


async def test_outputs_are_matched_to_contents_by_position(answering: tuple[Answering, GrpcEngine]) -> None:
    servicer, engine = answering
    first, second = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(4, dtype=np.float16)
    servicer.answer = response(
        ("b", "FP32", (2, 3), first.tobytes()), ("a", "FP16", (4,), second.tobytes()), ("empty", "INT64", (0, 5), b"")
    )
    outputs = await engine.infer(InferCall("any", INPUTS, ("a", "b", "empty")), timeout_seconds=5)
    np.testing.assert_array_equal(outputs["b"], first)
    np.testing.assert_array_equal(outputs["a"], second)
    assert outputs["empty"].shape == (0, 5)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (response(), InvalidVector),
        (response(("other", "FP32", (1,), b"\0" * 4)), InvalidVector),
        (response(("a", "FP32", (2,), b"\0" * 4)), InvalidVector),
        (response(("a", "FP32", (-1, -1), b"\0" * 4)), InvalidVector),
        (response(("a", "BF16", (2,), b"\0" * 4)), InferenceFailed),
    ],
)
async def test_an_answer_that_is_not_what_was_asked_for_is_refused(
    answering: tuple[Answering, GrpcEngine], answer: service_pb2.ModelInferResponse, kind: type
) -> None:
    servicer, engine = answering
    servicer.answer = answer
    with pytest.raises(kind):
        await engine.infer(InferCall("any", INPUTS, ("a",)), timeout_seconds=5)


async def test_an_output_without_contents_is_refused(answering: tuple[Answering, GrpcEngine]) -> None:
    servicer, engine = answering
    servicer.answer = response(("a", "FP32", (1,), b"\0" * 4))
    servicer.answer.ClearField("raw_output_contents")
    with pytest.raises(InvalidVector):
        await engine.infer(InferCall("any", INPUTS, ("a",)), timeout_seconds=5)


async def test_what_a_call_may_take_and_whether_it_is_urgent_is_said_in_the_request(
    answering: tuple[Answering, GrpcEngine],
) -> None:
    servicer, engine = answering
    servicer.answer = response(("a", "FP32", (0,), b""))
    for urgent, seconds, microseconds in ((False, 2.5, 2_500_000), (True, 60.0, 60_000_000)):
        await engine.infer(InferCall("any", INPUTS, ("a",), urgent=urgent), timeout_seconds=seconds)
        parameters = servicer.request.parameters  # type: ignore[attr-defined]
        assert parameters["timeout"].int64_param == microseconds
        assert ("urgent" in parameters) is urgent
        assert not urgent or parameters["urgent"].bool_param is True


def test_no_timeout_becomes_none_to_triton_and_none_is_too_large_for_it() -> None:
    assert timeout_microseconds(1e-9) == 1  # 0 would be no limit
    assert timeout_microseconds(float("inf")) == 31_536_000 * 10**6


async def test_the_deadline_travels_with_the_call(answering: tuple[Answering, GrpcEngine]) -> None:
    servicer, engine = answering
    servicer.hold = True
    async with asyncio.timeout(5):
        with pytest.raises(DeadlineExceeded):
            await engine.infer(InferCall("any", INPUTS, ("a",)), timeout_seconds=0.05)


async def test_closing_under_a_call_is_a_lost_engine_and_cancelling_stays_cancelling(
    answering: tuple[Answering, GrpcEngine],
) -> None:
    servicer, engine = answering
    servicer.hold = True
    calls = [asyncio.create_task(engine.infer(InferCall("any", INPUTS, ("a",)), timeout_seconds=60)) for _ in range(2)]
    await asyncio.sleep(0.05)
    calls[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await calls[0]
    await engine.close()
    with pytest.raises(EngineUnavailable):
        await calls[1]
    with pytest.raises(EngineUnavailable):
        await engine.infer(InferCall("any", INPUTS, ("a",)), timeout_seconds=1)
    assert not await engine.is_live()


async def test_nobody_listening_is_unavailable() -> None:
    engine = GrpcEngine("127.0.0.1:9")
    assert not await engine.is_live()
    with pytest.raises(EngineUnavailable):
        await engine.infer(InferCall("any", INPUTS, ("a",)), timeout_seconds=5)
    with pytest.raises(EngineUnavailable):
        await engine.models()
    await engine.close()


@pytest.mark.triton
async def test_the_real_server_answers(engine: GrpcEngine, embedded_triton: ServedTriton) -> None:
    assert await engine.is_live()
    # The index also names the folders of models that are not loaded.
    assert [one.name for one in await engine.models() if one.ready] == [embedded_triton.model]
    call = InferCall(embedded_triton.model, INPUTS, ("sentence_embedding", "last_hidden_state"))
    outputs = await engine.infer(call, timeout_seconds=30)
    assert {name: tensor.shape for name, tensor in outputs.items()} == {
        "sentence_embedding": (2, 384),
        "last_hidden_state": (2, 3, 384),
    }


@pytest.mark.triton
async def test_token_vectors_larger_than_grpcs_default_limit_arrive(
    engine: GrpcEngine, embedded_triton: ServedTriton
) -> None:
    ids = np.full((16, 256), 7592, dtype=np.int64)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    call = InferCall(embedded_triton.model, inputs, ("last_hidden_state",))
    outputs = await engine.infer(call, timeout_seconds=60)
    assert outputs["last_hidden_state"].nbytes > 4 * 1024 * 1024


@pytest.mark.triton
async def test_what_the_real_server_refuses(engine: GrpcEngine, embedded_triton: ServedTriton) -> None:
    model = embedded_triton.model
    with pytest.raises(EngineUnavailable) as unknown:
        await engine.infer(InferCall("nope", INPUTS, ("a",)), timeout_seconds=5)
    assert unknown.value.code == "model_not_loaded"
    with pytest.raises(InferenceFailed, match="unexpected inference output"):
        await engine.infer(InferCall(model, INPUTS, ("nope",)), timeout_seconds=5)
    bad = {**INPUTS, "input_ids": np.full_like(IDS, 10**9)}
    with pytest.raises(InferenceFailed):
        await engine.infer(InferCall(model, bad, ("sentence_embedding",)), timeout_seconds=5)
    with pytest.raises(InferenceFailed):
        await engine.load("nope", timeout_seconds=10)


@pytest.mark.triton
async def test_unload_waits_until_the_model_is_gone(engine: GrpcEngine, embedded_triton: ServedTriton) -> None:
    await engine.unload(embedded_triton.model)
    assert not any(one.ready for one in await engine.models())
    await engine.load(embedded_triton.model)
    assert [one.name for one in await engine.models() if one.ready] == [embedded_triton.model]


async def test_instances_are_those_that_triton_runs(engine: GrpcEngine, embedded_triton: ServedTriton) -> None:
    assert await engine.instances(embedded_triton.model) == Instances(1)
    with pytest.raises(EngineUnavailable):
        await engine.instances("nope")


async def test_a_group_has_its_instances_on_each_of_its_gpus(answering: tuple[Answering, GrpcEngine]) -> None:
    servicer, engine = answering
    groups = servicer.config.config.instance_group
    groups.add(count=2, kind=model_config_pb2.ModelInstanceGroup.KIND_GPU, gpus=[0, 1, 3])
    assert await engine.instances("any") == Instances(6, on_gpu=True)
    groups.add(count=1, kind=model_config_pb2.ModelInstanceGroup.KIND_CPU)
    assert await engine.instances("any") == Instances(7, on_gpu=True)
    del groups[0]
    assert await engine.instances("any") == Instances(1)
