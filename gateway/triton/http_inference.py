"""Model calls by Triton's HTTP protocol with binary tensors: half the round trip of gRPC from Python.

gRPC's own threads hand each call over four times; here the event loop writes and reads the socket itself. Triton does
not hear when such a call is given up, which is why `GrpcEngine` sends only short ones this way.
"""

from __future__ import annotations

import asyncio
import time
from functools import cache
from typing import Any
from urllib.parse import quote

import orjson

from gateway.errors import DeadlineExceeded, EngineUnavailable, GatewayError, InvalidVector
from gateway.triton.engine import InferCall, Tensor
from gateway.triton.grpc_errors import answered_error
from gateway.triton.http_connection import HttpAnswer, HttpConnection
from gateway.triton.tensor_types import TRITON_NAMES, check_asked_for, tensor_of, timeout_microseconds

_OK = 200
_UNAVAILABLE = 503


class HttpInference:
    """One Triton server's HTTP endpoint at `address` (`host:port`). Use it inside one running event loop."""

    def __init__(self, address: str) -> None:
        self.address = address
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        # The last used first, so that no more stay in use than are needed at once.
        self._free: list[HttpConnection] = []
        self._used: set[HttpConnection] = set()
        self._closed = False

    async def infer(self, call: InferCall, *, timeout_seconds: float) -> dict[str, Tensor]:
        """See `gateway.triton.engine.Engine.infer`. Cancelling closes the connection; the call is computed all the
        same. Arrays that come back are read-only. Raises `InvalidVector` when the answer is not what was asked for."""
        request = request_bytes(call, host=self.address, timeout_seconds=timeout_seconds)
        return outputs_of(await self._answer(request, deadline=time.monotonic() + timeout_seconds), call)

    async def close(self) -> None:
        """Calls under way fail as lost ones."""
        self._closed = True
        for connection in [*self._free, *self._used]:
            connection.close()
        self._free.clear()
        await asyncio.sleep(0)  # in which the loop closes the sockets

    async def _answer(self, request: bytes, *, deadline: float) -> HttpAnswer:
        """A server may close a kept connection in the moment in which it is written to. That says nothing of the
        server, and a model call may be made twice: it is asked once more, on a new connection."""
        if (kept := self._kept()) is not None:
            try:
                return await self._ask(kept, request, deadline=deadline)
            except EngineUnavailable:
                if kept.heard:
                    raise
        return await self._ask(await self._new(deadline - time.monotonic()), request, deadline=deadline)

    async def _ask(self, connection: HttpConnection, request: bytes, *, deadline: float) -> HttpAnswer:
        self._used.add(connection)
        try:
            return await connection.ask(request, timeout_seconds=deadline - time.monotonic())
        finally:
            self._used.discard(connection)
            if connection.is_open:
                self._free.append(connection)

    def _kept(self) -> HttpConnection | None:
        while self._free:
            if (kept := self._free.pop()).is_open:
                return kept
        return None

    async def _new(self, timeout_seconds: float) -> HttpConnection:
        if self._closed:
            raise EngineUnavailable("The connection to Triton is closed.")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_seconds):
                return (await loop.create_connection(HttpConnection, self._host, self._port))[1]
        except TimeoutError:
            raise DeadlineExceeded("Triton did not answer in time.") from None
        except OSError:
            raise EngineUnavailable("Triton cannot be reached at the moment.") from None


def request_bytes(call: InferCall, *, host: str, timeout_seconds: float) -> bytes:
    """The whole request: what is said of the tensors in JSON, and the tensors behind it."""
    described, contents = [], []
    for name, tensor in call.inputs.items():
        raw = tensor.tobytes()
        contents.append(raw)
        described.append(
            {
                "name": name,
                "shape": tensor.shape,
                "datatype": TRITON_NAMES[tensor.dtype],
                "parameters": {"binary_data_size": len(raw)},
            }
        )
    # Microseconds from now; the engine may drop what it finds in its queue after that.
    parameters: dict[str, int | bool] = {"timeout": timeout_microseconds(timeout_seconds)}
    if call.urgent:
        parameters["urgent"] = True
    said = orjson.dumps(
        {
            "parameters": parameters,
            "inputs": described,
            "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in call.outputs],
        }
    )
    length = len(said) + sum(map(len, contents))
    lengths = b"Inference-Header-Content-Length: %d\r\nContent-Length: %d\r\n\r\n" % (len(said), length)
    return b"".join([_head(call.model, host), lengths, said, *contents])


@cache  # of a handful of models
def _head(model: str, host: str) -> bytes:
    return f"POST /v2/models/{quote(model, safe='')}/infer HTTP/1.1\r\nHost: {host}\r\n".encode()


def outputs_of(answer: HttpAnswer, call: InferCall) -> dict[str, Tensor]:
    """The outputs by name. Raises what Triton's refusal means, or `InvalidVector` for an answer of another form."""
    if answer.status != _OK:
        raise _refusal(answer)
    if answer.json_bytes is None:
        raise InvalidVector("Triton's answer has outputs without contents.")
    try:
        said = orjson.loads(answer.body[: answer.json_bytes])
        found = _tensors(said["outputs"], answer.body, start=answer.json_bytes)
    except (KeyError, TypeError, ValueError):
        raise InvalidVector("Triton's answer is not of the form that was asked for.") from None
    check_asked_for(found, call.outputs)
    return found


def _tensors(outputs: list[dict[str, Any]], body: bytes, *, start: int) -> dict[str, Tensor]:
    found = {}
    for output in outputs:
        size = output["parameters"]["binary_data_size"]
        if size < 0:
            raise ValueError("a size below zero")
        # A slice and no view: the JSON before it may have any length, and NumPy wants its numbers at even places.
        found[output["name"]] = tensor_of(
            output["name"], output["datatype"], output["shape"], body[start : start + size]
        )
        start += size
    if start != len(body):
        raise ValueError("bytes that belong to no output")
    return found


def _refusal(answer: HttpAnswer) -> GatewayError:
    try:
        details = str(orjson.loads(answer.body)["error"])
    except (KeyError, TypeError, ValueError):
        details = answer.body.decode("utf-8", errors="replace")
    return answered_error(details, said=f"HTTP {answer.status}", lost=answer.status == _UNAVAILABLE)
