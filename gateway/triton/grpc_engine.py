"""The real engine: Triton over gRPC, with the generated stubs directly.

Own code around them because tritonclient's request objects cost 0.05 to 0.1 ms a call and hide the status codes that
tell a lost server from a refused request. Foreign errors are mapped here and nowhere else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.errors import DeadlineExceeded, EngineUnavailable, InvalidVector
from gateway.triton.endpoint import grpc_address, http_address
from gateway.triton.engine import InferCall, Instances, ModelStatus, Tensor
from gateway.triton.grpc_errors import engine_error
from gateway.triton.http_inference import HttpInference
from gateway.triton.tensor_types import TRITON_NAMES, check_asked_for, tensor_of, timeout_microseconds

INT32_MAX = 2**31 - 1

CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", INT32_MAX),
    ("grpc.max_receive_message_length", INT32_MAX),
    # A restarted Triton is found within half a second instead of gRPC's default of up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # An engine is on a private network; a proxy meant for the outside would only lose it.
    ("grpc.enable_http_proxy", 0),
    # Nobody reads channelz, a lost call is the scheduler's to send again, and the window of a local link needs no
    # probing. With gRPC's usual event engine that saves nothing that shows, without it a tenth of a call's CPU time.
    ("grpc.enable_channelz", 0),
    ("grpc.enable_retries", 0),
    ("grpc.http2.bdp_probe", 0),
    # No keepalive options: Triton answers pings more frequent than 300 s with GOAWAY.
)

_UNLOAD_POLL_SECONDS = 0.05

# More bytes than this go by gRPC: Triton hears when such a call is given up, and what it costs is little beside it. A
# CPU's call of 512 tokens, ids, mask and types, has 12 KiB.
_MOST_HTTP_BYTES = 16 * 1024


class GrpcEngine:
    """One Triton server at `address` (`host:port`). Implements `gateway.triton.engine.Engine`.

    Make and use it inside one running event loop. Connecting happens at the first call and again after every loss.
    """

    def __init__(self, address: str, *, http_address: str | None = None) -> None:
        """`http_address` is the same server's HTTP endpoint, for short calls, where it may be used."""
        self.address = address
        self._http = HttpInference(http_address) if http_address is not None else None
        self._channel = grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def infer(self, call: InferCall, *, timeout_seconds: float) -> dict[str, Tensor]:
        """See `Engine.infer`. Arrays that come back are read-only views into the answer.

        Raises `InvalidVector` when the answer is not what was asked for: names, types or sizes that do not agree.
        """
        if self._http is not None and _is_short(call):
            return await self._http.infer(call, timeout_seconds=timeout_seconds)
        request = _request(call, timeout_seconds=timeout_seconds)
        return _outputs(call, await _answered(self._stub.ModelInfer, request, timeout_seconds))

    async def is_live(self, *, timeout_seconds: float = 1.0) -> bool:
        try:
            response = await self._stub.ServerLive(service_pb2.ServerLiveRequest(), timeout=timeout_seconds)
        except (grpc.RpcError, grpc.aio.UsageError):
            return False
        return bool(response.live)

    async def models(self, *, timeout_seconds: float = 5.0) -> list[ModelStatus]:
        request = service_pb2.RepositoryIndexRequest()
        response = await _answered(self._stub.RepositoryIndex, request, timeout_seconds)
        return [ModelStatus(name=one.name, state=one.state, reason=one.reason) for one in response.models]

    async def instances(self, model: str, *, timeout_seconds: float = 5.0) -> Instances:
        """See `Engine.instances`; Triton's own word, which has settled where a model of `KIND_AUTO` runs."""
        request = service_pb2.ModelConfigRequest(name=model)
        config = (await _answered(self._stub.ModelConfig, request, timeout_seconds)).config
        # A group has its count of instances on each of its GPUs.
        count = sum(group.count * max(1, len(group.gpus)) for group in config.instance_group)
        return Instances(max(1, count), on_gpu=any(group.kind == group.KIND_GPU for group in config.instance_group))

    async def load(self, model: str, *, timeout_seconds: float = 60.0) -> None:
        request = service_pb2.RepositoryModelLoadRequest(model_name=model)
        await _answered(self._stub.RepositoryModelLoad, request, timeout_seconds)

    async def unload(self, model: str, *, timeout_seconds: float = 60.0) -> None:
        """See `Engine.unload`. Triton answers before the model is gone, so its index is read until it says so."""
        gone_by = time.monotonic() + timeout_seconds
        request = service_pb2.RepositoryModelUnloadRequest(model_name=model)
        await _answered(self._stub.RepositoryModelUnload, request, timeout_seconds)
        while any(one.name == model and one.state != "UNAVAILABLE" for one in await self.models()):
            if time.monotonic() > gone_by:
                raise DeadlineExceeded(f"Triton did not unload {model} in time.")
            await asyncio.sleep(_UNLOAD_POLL_SECONDS)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
        await self._channel.close()


def connection(*, triton_url: str, triton_http_url: str | None) -> GrpcEngine:
    """The engine for addresses as an operator wrote them. Raises `ConfigurationError` for one that is none."""
    http = http_address(triton_http_url) if triton_http_url else None
    return GrpcEngine(grpc_address(triton_url), http_address=http)


def _is_short(call: InferCall) -> bool:
    return not call.stoppable and sum([one.nbytes for one in call.inputs.values()]) <= _MOST_HTTP_BYTES


async def _answered(method: Callable[..., Awaitable[Any]], request: Any, timeout_seconds: float) -> Any:
    """The answer of a call, with gRPC's errors as the gateway's own."""
    try:
        return await method(request, timeout=timeout_seconds)
    except grpc.aio.AioRpcError as error:
        raise engine_error(error) from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # gRPC raises CancelledError as well when the channel is closed under a call; nobody cancelled this task.
        raise EngineUnavailable("The connection to Triton was closed.") from None
    except grpc.aio.UsageError:
        raise EngineUnavailable("The connection to Triton is closed.") from None


def _request(call: InferCall, *, timeout_seconds: float) -> Any:
    """The message, as the generated class makes it: 5 us for MiniLM's three inputs, which bytes put together by hand
    would not be worth."""
    request = service_pb2.ModelInferRequest(model_name=call.model)
    # Microseconds from now; the engine may drop what it finds in its queue after that.
    request.parameters["timeout"].int64_param = timeout_microseconds(timeout_seconds)
    if call.urgent:
        request.parameters["urgent"].bool_param = True
    for name, tensor in call.inputs.items():
        given = request.inputs.add(name=name, datatype=TRITON_NAMES[tensor.dtype])
        given.shape.extend(tensor.shape)
        request.raw_input_contents.append(_raw(tensor))
    for name in call.outputs:
        request.outputs.add(name=name)
    return request


def _raw(tensor: Tensor) -> bytes:
    """A tensor's bytes; those that it is a view of, where it is one of all of them: images are not copied again."""
    whole: object = tensor.base
    if isinstance(whole, bytes) and tensor.flags.c_contiguous and len(whole) == tensor.nbytes:
        return whole
    return tensor.tobytes()


def _outputs(call: InferCall, response: Any) -> dict[str, Tensor]:
    """Outputs by name. Raw contents belong to `outputs` by position."""
    if len(response.raw_output_contents) != len(response.outputs):
        raise InvalidVector("Triton's answer has outputs without contents.")
    found = {
        output.name: tensor_of(output.name, output.datatype, tuple(output.shape), raw)
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }
    check_asked_for(found, call.outputs)
    return found
