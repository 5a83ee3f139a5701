"""Calls by HTTP: the request as tritonclient writes it, answers of every form, connections lost and kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import httptools
import numpy as np
import pytest
import tritonclient.http as oracle
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from gateway.errors import (
    BackendProcessDied,
    DeadlineExceeded,
    EngineUnavailable,
    GatewayError,
    InferenceFailed,
    InvalidVector,
)
from gateway.triton.engine import InferCall, Tensor
from gateway.triton.grpc_engine import GrpcEngine
from gateway.triton.http_connection import HttpAnswer
from gateway.triton.http_inference import HttpInference, outputs_of, request_bytes
from gateway.triton.tensor_types import NUMPY_TYPES, TRITON_NAMES

tensors = st.sampled_from(sorted(NUMPY_TYPES.values(), key=str)).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
)
names = st.text(min_size=1, max_size=12).filter(lambda name: name.isprintable())
ONES = InferCall("any", {"x": np.ones((2, 3), np.float32)}, ("y",))


class Parsed:
    """A request as httptools reads it."""

    def __init__(self, request: bytes) -> None:
        self.headers: dict[bytes, bytes] = {}
        self.body, self.url, self.complete = b"", b"", False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(request)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name] = value

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


@given(st.dictionaries(names, tensors, min_size=1, max_size=3), st.lists(names, min_size=1, max_size=2), st.booleans())
def test_the_request_is_what_tritons_own_client_would_send(
    inputs: dict[str, Tensor], outputs: list[str], urgent: bool
) -> None:
    given_inputs = []
    for name, tensor in inputs.items():
        one = oracle.InferInput(name, list(tensor.shape), TRITON_NAMES[tensor.dtype])
        given_inputs.append(one.set_data_from_numpy(tensor))
    body, json_bytes = oracle.InferenceServerClient.generate_request_body(
        given_inputs,
        outputs=[oracle.InferRequestedOutput(name) for name in outputs],
        timeout=1_500_000,
        parameters={"urgent": True} if urgent else None,
    )
    call = InferCall("a model/ü", inputs, outputs, urgent=urgent)
    parsed = Parsed(request_bytes(call, host="localhost:8000", timeout_seconds=1.5))
    assert parsed.complete
    assert parsed.parser.get_method() == b"POST"
    assert parsed.url == b"/v2/models/a%20model%2F%C3%BC/infer"
    assert parsed.headers[b"Host"] == b"localhost:8000"
    own = int(parsed.headers[b"Inference-Header-Content-Length"])
    whole = len(body) if json_bytes is None else json_bytes  # it gives none where all tensors are empty
    assert json.loads(parsed.body[:own]) == json.loads(body[:whole])
    assert parsed.body[own:] == body[whole:]


def test_a_tensor_that_is_no_block_of_memory_is_sent_as_one() -> None:
    rows = np.arange(12, dtype=np.int64).reshape(3, 4)
    for tensor in (rows.T, rows[:, ::2], np.broadcast_to(rows[0], (2, 4))):
        request = request_bytes(InferCall("any", {"x": tensor}, ("y",)), host="h", timeout_seconds=1)
        assert request.endswith(tensor.tobytes())


def answer(*outputs: dict[str, object], raw: bytes = b"", status: int = 200) -> HttpAnswer:
    said = json.dumps({"model_name": "any", "outputs": outputs}).encode()
    return HttpAnswer(status, said + raw, len(said))


def output(name: object, datatype: object, shape: object, size: object) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


@given(st.dictionaries(names, tensors, min_size=1, max_size=3))
def test_every_output_comes_back_as_it_was(given_outputs: dict[str, Tensor]) -> None:
    said = [output(name, TRITON_NAMES[one.dtype], one.shape, one.nbytes) for name, one in given_outputs.items()]
    raw = b"".join(one.tobytes() for one in given_outputs.values())
    found = outputs_of(answer(*said, raw=raw), InferCall("any", {}, tuple(given_outputs)))
    for name, tensor in given_outputs.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert found[name].tobytes() == tensor.tobytes()
        assert found[name].flags.aligned


GOOD = output("y", "FP32", [2], 8)


@pytest.mark.parametrize(
    ("given_answer", "kind"),
    [
        (answer(), InvalidVector),
        (answer(output("z", "FP32", [2], 8), raw=bytes(8)), InvalidVector),
        (answer(GOOD, raw=bytes(7)), InvalidVector),
        (answer(GOOD, raw=bytes(9)), InvalidVector),
        (answer(output("y", "FP32", [3], 8), raw=bytes(8)), InvalidVector),
        (answer(output("y", "FP32", [-2], 8), raw=bytes(8)), InvalidVector),
        (answer(output("y", "FP32", [-1, -2], 8), raw=bytes(8)), InvalidVector),
        (answer(output("y", "FP32", [2.0], 8), raw=bytes(8)), InvalidVector),
        (answer(output("y", "FP32", ["2"], 8), raw=bytes(8)), InvalidVector),
        (answer(output("y", "FP32", 2, 8), raw=bytes(8)), InvalidVector),
        (answer(output("y", "FP32", [2], -8), raw=bytes(8)), InvalidVector),
        (answer(output("x", "FP32", [0], -4), output("y", "FP32", [3], 12), raw=bytes(8)), InvalidVector),
        (answer(output("y", "FP32", [2], "8"), raw=bytes(8)), InvalidVector),
        (answer(output("y", ["FP32"], [2], 8), raw=bytes(8)), InvalidVector),
        (answer(output(["y"], "FP32", [2], 8), raw=bytes(8)), InvalidVector),
        (answer(output("y", "BF16", [4], 8), raw=bytes(8)), InferenceFailed),
        (answer({"name": "y", "datatype": "FP32", "shape": [2], "data": [0.0, 0.0]}), InvalidVector),
        (HttpAnswer(200, b'{"outputs": []}', None), InvalidVector),
        (HttpAnswer(200, b"[1]", 3), InvalidVector),
        (HttpAnswer(200, b"{]", 2), InvalidVector),
        (HttpAnswer(200, b"{}", 99), InvalidVector),
        (HttpAnswer(400, b'{"error":"unexpected inference input"}', None), InferenceFailed),
        (HttpAnswer(500, b"not JSON", None), InferenceFailed),
        (HttpAnswer(500, b'{"error":"Stub process \'a_0_0\' is not healthy."}', None), BackendProcessDied),
        (HttpAnswer(404, b'{"error":"Request for unknown model: \'a\' is not found"}', None), EngineUnavailable),
        (HttpAnswer(503, b'{"error":"Server is stopping"}', None), EngineUnavailable),
        (HttpAnswer(500, b"\xff[]", None), InferenceFailed),
    ],
)
def test_an_answer_that_is_not_what_was_asked_for_is_refused(
    given_answer: HttpAnswer, kind: type[GatewayError]
) -> None:
    with pytest.raises(kind) as refused:
        outputs_of(given_answer, ONES)
    assert type(refused.value) is kind


class Heard:
    """Keeps a connection that it does not answer on."""

    def __init__(self) -> None:
        self.connections: list[asyncio.StreamWriter] = []
        self.second = asyncio.Event()

    def __call__(self, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        if len(self.connections) == 2:
            self.second.set()


def hang_up(after: bytes) -> Callable[[asyncio.StreamWriter], None]:
    def act(writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        writer.close()

    return act


class Server:
    """Answers each request with the next of `answers`, bytes or what is done with the connection."""

    def __init__(self) -> None:
        self.answers: list[bytes | Callable[[asyncio.StreamWriter], object]] = []
        self.connections = 0
        self.gone = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.split(b"Content-Length: ")[-1]))
                found = self.answers.pop(0)
                if isinstance(found, bytes):
                    writer.write(found)
                else:
                    found(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.gone += 1
        finally:
            writer.close()


def wire(value: float = 1.0, *, more: str = "") -> bytes:
    raw = np.full(2, value, np.float32).tobytes()
    found = answer(GOOD, raw=raw)
    head = f"HTTP/1.1 200 OK\r\n{more}inference-header-content-length: {found.json_bytes}\r\n"
    return f"{head}Content-Length: {len(found.body)}\r\n\r\n".encode() + found.body


def silent(_writer: asyncio.StreamWriter) -> None:
    """Says nothing."""


@pytest.fixture
async def served() -> AsyncIterator[tuple[Server, HttpInference]]:
    scripted = Server()
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    inference = HttpInference(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    yield scripted, inference
    await inference.close()
    server.close()
    await server.wait_closed()


async def ask(inference: HttpInference, seconds: float = 5.0) -> list[float]:
    return list((await inference.infer(ONES, timeout_seconds=seconds))["y"].tolist())


async def test_a_connection_is_kept_and_each_call_under_way_has_its_own(served: tuple[Server, HttpInference]) -> None:
    server, inference = served
    server.answers = [wire(number) for number in range(6)]
    assert [await ask(inference) for _ in range(3)] == [[0.0] * 2, [1.0] * 2, [2.0] * 2]
    assert server.connections == 1
    assert sorted(await asyncio.gather(*(ask(inference) for _ in range(3)))) == [[3.0] * 2, [4.0] * 2, [5.0] * 2]
    assert server.connections == 3


async def test_an_answer_in_pieces_and_in_chunks_is_put_together(served: tuple[Server, HttpInference]) -> None:
    server, inference = served
    whole = wire(7.0)

    async def trickle(writer: asyncio.StreamWriter) -> None:
        for place in range(len(whole)):
            writer.write(whole[place : place + 1])
            await writer.drain()
            await asyncio.sleep(0)

    head, body = whole.split(b"\r\n\r\n", 1)
    chunked = head.replace(f"Content-Length: {len(body)}".encode(), b"Transfer-Encoding: chunked") + b"\r\n\r\n"
    chunked += b"3\r\n" + body[:3] + b"\r\n" + f"{len(body) - 3:x}\r\n".encode() + body[3:] + b"\r\n0\r\n\r\n"
    tasks: list[asyncio.Task[None]] = []
    server.answers = [lambda writer: tasks.append(asyncio.ensure_future(trickle(writer))), chunked]
    assert await ask(inference) == [7.0, 7.0]
    assert await ask(inference) == [7.0, 7.0]
    await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (hang_up(after=b""), EngineUnavailable),
        (hang_up(after=wire()[:-3]), EngineUnavailable),
        (b"SSH-2.0-OpenSSH\r\n", InvalidVector),
    ],
)
async def test_after_a_lost_or_broken_connection_the_next_call_has_a_new_one(
    served: tuple[Server, HttpInference], bad: bytes, kind: type[Exception]
) -> None:
    server, inference = served
    server.answers = [bad, wire()]
    with pytest.raises(kind):
        await ask(inference)
    assert await ask(inference) == [1.0, 1.0]
    assert server.connections == 2


async def test_a_call_that_took_too_long_or_was_cancelled_leaves_its_answer_to_nobody(
    served: tuple[Server, HttpInference],
) -> None:
    server, inference = served
    heard = Heard()
    server.answers = [heard, heard, wire(3.0)]
    with pytest.raises(DeadlineExceeded):
        await ask(inference, seconds=0.05)
    task = asyncio.create_task(ask(inference))
    await heard.second.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for writer in heard.connections:
        writer.write(wire(8.0))
    assert await ask(inference) == [3.0, 3.0]
    assert server.connections == 3


async def test_what_nobody_asked_for_ends_the_connection_and_reaches_no_call(
    served: tuple[Server, HttpInference],
) -> None:
    server, inference = served
    server.answers = [wire(1.0) + wire(8.0), wire(2.0, more="Connection: close\r\n"), wire(3.0)]
    assert [await ask(inference) for _ in range(3)] == [[1.0] * 2, [2.0] * 2, [3.0] * 2]
    assert server.connections == 3


@pytest.mark.parametrize("unasked", [wire(8.0), b"no HTTP at all\r\n"])
async def test_what_comes_between_two_calls_reaches_neither(
    served: tuple[Server, HttpInference], unasked: bytes
) -> None:
    server, inference = served
    heard: list[asyncio.StreamWriter] = []

    def answer_and_keep(writer: asyncio.StreamWriter) -> None:
        heard.append(writer)
        writer.write(wire(1.0))

    server.answers = [answer_and_keep, wire(2.0)]
    assert await ask(inference) == [1.0, 1.0]
    heard[0].write(unasked)
    await asyncio.sleep(0.05)
    assert await ask(inference) == [2.0, 2.0]
    assert server.connections == 2


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used(served: tuple[Server, HttpInference]) -> None:
    server, inference = served
    server.answers = [hang_up(after=wire()), wire(2.0)]
    await ask(inference)
    await asyncio.sleep(0.05)
    assert await ask(inference) == [2.0, 2.0]


@pytest.mark.parametrize("end", [hang_up(after=b""), lambda writer: writer.transport.abort()])
async def test_a_kept_connection_closed_as_it_is_written_to_is_no_outage(
    served: tuple[Server, HttpInference], end: Callable[[asyncio.StreamWriter], object]
) -> None:
    server, inference = served
    server.answers = [wire(1.0), end, wire(2.0)]
    assert [await ask(inference), await ask(inference)] == [[1.0] * 2, [2.0] * 2]
    assert server.connections == 2


async def test_a_lost_call_is_made_once_more_and_no_oftener(served: tuple[Server, HttpInference]) -> None:
    server, inference = served
    server.answers = [wire(1.0), wire(1.0)]
    await asyncio.gather(ask(inference), ask(inference))
    server.answers = [hang_up(after=b""), hang_up(after=b""), wire(2.0)]
    with pytest.raises(EngineUnavailable):
        await ask(inference)
    assert (server.connections, len(server.answers)) == (3, 1), "the second time on a new one, though one was free"


async def test_a_kept_connection_that_is_lost_amid_an_answer_is_an_outage(served: tuple[Server, HttpInference]) -> None:
    server, inference = served
    server.answers = [wire(1.0), hang_up(after=wire()[:1]), wire(2.0)]
    await ask(inference)
    with pytest.raises(EngineUnavailable):
        await ask(inference)
    assert len(server.answers) == 1


async def test_a_call_that_is_made_once_more_keeps_its_deadline(served: tuple[Server, HttpInference]) -> None:
    server, inference = served
    server.answers = [wire(1.0), hang_up(after=b""), silent]
    await ask(inference)
    with pytest.raises(DeadlineExceeded):
        await ask(inference, seconds=0.2)
    assert server.answers == []


async def test_closing_ends_calls_under_way_as_lost(served: tuple[Server, HttpInference]) -> None:
    server, inference = served
    server.answers = [silent]
    task = asyncio.create_task(ask(inference))
    await asyncio.sleep(0.05)
    await inference.close()
    with pytest.raises(EngineUnavailable):
        await task
    with pytest.raises(EngineUnavailable):
        await ask(inference)


async def test_nobody_listening_is_unavailable() -> None:
    inference = HttpInference("127.0.0.1:9")
    with pytest.raises(EngineUnavailable):
        await ask(inference)


async def test_large_calls_go_by_grpc(served: tuple[Server, HttpInference]) -> None:
    server, inference = served
    engine = GrpcEngine("127.0.0.1:9", http_address=inference.address)
    server.answers = [wire(), wire()]
    small = InferCall("any", {"x": np.zeros(16 * 1024, np.uint8)}, ("y",))
    assert (await engine.infer(small, timeout_seconds=5))["y"].tolist() == [1.0, 1.0]
    with pytest.raises(EngineUnavailable):  # nobody listens there
        await engine.infer(InferCall("any", {"x": np.zeros(16 * 1024 + 1, np.uint8)}, ("y",)), timeout_seconds=5)
    assert len(server.answers) == 1
    await engine.close()
