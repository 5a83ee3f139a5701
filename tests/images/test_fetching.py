"""Images come over a real connection whole and unchanged, and nothing that a server does takes more than its share."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import httpcore
import pytest

from gateway.images.addresses import Address
from gateway.images.careful_stream import CarefulStream
from gateway.images.dialling import SystemResolver
from gateway.images.fetching import FetchLimits, ImageFetcher, UnfetchableImage
from gateway.images.url_policy import UrlPolicy
from tests.support.hostile_images import encoded, photo
from tests.support.image_server import (
    PUBLIC_ADDRESS,
    ImageServer,
    LoopbackNetwork,
    ScriptedResolver,
    redirect,
    response,
)

IMAGE = encoded(photo(), "PNG")
CERTIFICATE = Path(__file__).with_name("images.example.pem")
MAX_BYTES = 100_000


@pytest.fixture
async def server() -> AsyncIterator[ImageServer]:
    async with ImageServer() as server:
        yield server


def fetcher_for(server: ImageServer, *, seconds: float = 30) -> ImageFetcher:
    policy = UrlPolicy.parse(f"127.0.0.1:{server.port}+private")
    return ImageFetcher(policy, FetchLimits(max_bytes=MAX_BYTES, seconds=seconds))


async def fetch(server: ImageServer, path: str, *, seconds: float = 30) -> bytes:
    return await fetcher_for(server, seconds=seconds).fetch(server.url(path))


async def refusal(server: ImageServer, path: str, *, seconds: float = 30) -> str:
    with pytest.raises(UnfetchableImage) as caught:
        await fetch(server, path, seconds=seconds)
    return caught.value.reason


def chunked(body: bytes, *headers: str, size: int = 700) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    head = "\r\n".join(["HTTP/1.1 200 OK", "Transfer-Encoding: chunked", *headers, "", ""]).encode()
    return head + chunks + b"0\r\n\r\n"


async def test_a_file_comes_whole_however_it_is_sent(server: ImageServer) -> None:
    server.answers = {
        "/plain": response(IMAGE),
        "/chunked": chunked(IMAGE),
        "/until-closed": b"HTTP/1.0 200 OK\r\n\r\n" + IMAGE,
        "/moved": redirect("/elsewhere", status=301),
        "/elsewhere": redirect(server.url("/plain"), status=307),
        "/identity": response(IMAGE, "Content-Encoding: identity"),
        "/with%20space?a=b%26c": response(IMAGE),
        "/early": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(IMAGE),
    }
    for path in ("/plain", "/chunked", "/until-closed", "/moved", "/identity", "/with space?a=b%26c#part", "/early"):
        assert await fetch(server, path) == IMAGE


async def test_the_request_says_who_asks_and_for_what(server: ImageServer) -> None:
    server.answers["/a"] = response(IMAGE, "Set-Cookie: a=b")
    fetcher = fetcher_for(server)
    await fetcher.fetch(server.url("/a"))
    await fetcher.fetch(server.url("/a#part"))
    for head in server.requests:
        lines = [line.lower() for line in head.split("\r\n")]
        assert lines[0] == "get /a http/1.1"
        assert f"host: 127.0.0.1:{server.port}" in lines
        assert "accept-encoding: identity" in lines
        assert any(line.startswith("user-agent: triton-embeddings-gateway") for line in lines)
        assert not [line for line in lines if line.startswith(("cookie", "referer", "authorization"))]


async def test_no_proxy_is_taken_from_the_environment(server: ImageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers["/a"] = response(IMAGE)
    async with ImageServer() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert await fetch(server, "/a") == IMAGE
        assert proxy.connections == 0


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"[:20])
    while not writer.is_closing():
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"x")


async def silence(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def never_ending(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"1000\r\n" + bytes(4096) + b"\r\n")
        await writer.drain()


async def never_ending_head(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X-A: " + b"a" * 4096 + b"\r\n")
        await writer.drain()


async def never_ending_hints(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("answer", [drip, silence, drip_body, never_ending_hints])
async def test_a_server_that_takes_its_time_is_left(server: ImageServer, answer: object) -> None:
    server.answers["/a"] = answer  # type: ignore[assignment]
    assert "within 0.4 seconds" in await refusal(server, "/a", seconds=0.4)


async def test_a_body_or_a_head_without_end_is_not_read_to_its_end(server: ImageServer) -> None:
    server.answers = {"/body": never_ending, "/head": never_ending_head}
    assert f"more than {MAX_BYTES} bytes" in await refusal(server, "/body")
    assert "could not be fetched" in await refusal(server, "/head")


async def test_an_answer_in_a_million_pieces_is_left_after_a_few(server: ImageServer) -> None:
    """Taking one apart holds up the event loop, all other requests with it."""
    server.answers = {
        "/chunks": chunked(bytes(MAX_BYTES), size=1),
        "/hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3000 + response(IMAGE),
        "/few-chunks": chunked(bytes(900), size=1),
        "/few-hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 300 + response(IMAGE),
    }
    assert "small pieces" in await refusal(server, "/chunks")
    assert "could not be fetched" in await refusal(server, "/hints")
    assert await fetch(server, "/few-chunks") == bytes(900)
    assert await fetch(server, "/few-hints") == IMAGE


async def test_a_head_is_read_a_little_at_a_time() -> None:
    """What one read gives is parsed without a pause."""
    asked: list[int] = []

    class Endless(httpcore.AsyncNetworkStream):
        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
            asked.append(max_bytes)
            return bytes(max_bytes)

    stream = CarefulStream(Endless())
    for _ in range(16):
        assert len(await stream.read(65536)) == 4096
    with pytest.raises(httpcore.ReadError):
        await stream.read(65536)
    assert set(asked) == {4096}
    stream.head_is_read()
    assert len(await stream.read(65536)) == 65536


@pytest.mark.parametrize(
    "answer",
    [
        response(bytes(MAX_BYTES + 1)),
        response(b"", length=10**15),
        chunked(bytes(MAX_BYTES + 1), size=5000),
        b"HTTP/1.0 200 OK\r\n\r\n" + bytes(MAX_BYTES + 1),
    ],
)
async def test_a_file_that_is_too_large_is_refused_whatever_it_says_of_itself(
    server: ImageServer, answer: bytes
) -> None:
    server.answers["/a"] = answer
    assert f"more than {MAX_BYTES} bytes" in await refusal(server, "/a")


async def test_a_file_of_just_the_largest_size_is_read(server: ImageServer) -> None:
    server.answers["/a"] = response(bytes(MAX_BYTES))
    assert len(await fetch(server, "/a")) == MAX_BYTES


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        response(b"", length=10**40),
        b"HTTP/1.1 abc OK\r\n\r\n",
        response(IMAGE, length=len(IMAGE) + 10),
        response(b"", "Content-Length: 7"),
        response(IMAGE, status=404),
        response(IMAGE, status=206),
        response(IMAGE, status=500),
        redirect("")[:40],
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
    ],
)
async def test_what_is_no_answer_is_told_in_one_sentence(server: ImageServer, answer: bytes) -> None:
    server.answers["/a"] = answer
    assert "could not be fetched" in await refusal(server, "/a")


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "GZIP", "identity, gzip"])
async def test_a_compressed_body_is_not_unpacked(server: ImageServer, encoding: str) -> None:
    server.answers["/a"] = response(IMAGE, f"Content-Encoding: {encoding}")
    assert "compressed" in await refusal(server, "/a")


async def test_redirects_are_followed_three_times(server: ImageServer) -> None:
    server.answers = {f"/{number}": redirect(f"/{number + 1}") for number in range(4)} | {"/4": response(IMAGE)}
    assert await fetch(server, "/1") == IMAGE
    assert "more than 3 times" in await refusal(server, "/0")
    server.answers["/loop"] = redirect("/loop")
    assert "more than 3 times" in await refusal(server, "/loop")


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "data:image/png;base64,AAAA", "ftp://public.example/", "http://["]
)
async def test_redirects_lead_to_http_only(server: ImageServer, place: str) -> None:
    server.answers["/a"] = redirect(place)
    await refusal(server, "/a")


async def test_a_public_servers_status_is_told(server: ImageServer) -> None:
    server.answers["/a"] = response(b"", status=403)
    network = LoopbackNetwork(public_port=server.port, canary_port=server.port)
    resolver = ScriptedResolver({"public.example": [[PUBLIC_ADDRESS]]})
    limits = FetchLimits(max_bytes=MAX_BYTES, seconds=30)
    fetcher = ImageFetcher(UrlPolicy.parse("public"), limits, resolve=resolver, network=network)
    with pytest.raises(UnfetchableImage, match="status 403"):
        await fetcher.fetch("http://public.example/a")


async def test_another_address_of_a_host_is_tried_where_one_does_not_answer(server: ImageServer) -> None:
    server.answers["/a"] = response(IMAGE)
    async with ImageServer() as closed:
        port = closed.port
    network = LoopbackNetwork(public_port=server.port, canary_port=port)
    resolver = ScriptedResolver({"public.example": [["2606:2800:21f::1", PUBLIC_ADDRESS]]})
    limits = FetchLimits(max_bytes=MAX_BYTES, seconds=30)
    fetcher = ImageFetcher(UrlPolicy.parse("public"), limits, resolve=resolver, network=network)
    assert await fetcher.fetch("http://public.example/a") == IMAGE
    assert network.dialled == ["2606:2800:21f::1", PUBLIC_ADDRESS]


@pytest.mark.parametrize(
    ("host", "trusted"), [("images.example", True), ("images.example", False), ("other.example", True)]
)
async def test_tls_is_checked_by_name_and_dialled_by_address(
    monkeypatch: pytest.MonkeyPatch, host: str, trusted: bool
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE)
    names: list[str | None] = []
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    async with ImageServer({"/a": response(IMAGE)}, tls=tls) as server:
        network = LoopbackNetwork(public_port=server.port, canary_port=server.port)
        resolver = ScriptedResolver({host: [[PUBLIC_ADDRESS]]})
        limits = FetchLimits(max_bytes=MAX_BYTES, seconds=30)
        fetcher = ImageFetcher(UrlPolicy.parse("public"), limits, resolve=resolver, network=network)
        if trusted and host == "images.example":
            assert await fetcher.fetch(f"https://{host}/a") == IMAGE
            assert "host: images.example\r\n" in server.requests[0].lower()
        else:
            with pytest.raises(UnfetchableImage, match="could not be fetched"):
                await fetcher.fetch(f"https://{host}/a")
            assert server.requests == []
    assert names == [host]
    assert network.dialled == [PUBLIC_ADDRESS]


async def test_a_name_server_that_never_answers_is_given_up(server: ImageServer) -> None:
    async def never(host: str, port: int) -> list[object]:
        await asyncio.Event().wait()
        return []

    limits = FetchLimits(max_bytes=MAX_BYTES, seconds=0.2)
    fetcher = ImageFetcher(UrlPolicy.parse("public"), limits, resolve=never)  # type: ignore[arg-type]
    with pytest.raises(UnfetchableImage, match=r"within 0\.2 seconds"):
        await fetcher.fetch("http://public.example/a")


async def test_names_that_hang_after_their_requests_have_gone_leave_room_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = threading.Event()

    def addresses(host: str, port: int) -> list[Address]:
        if host == "hangs.example":
            over.wait(30)
        return []

    monkeypatch.setattr("gateway.images.dialling._addresses", addresses)
    resolver = SystemResolver()
    try:
        gone = [asyncio.create_task(resolver("hangs.example", 80)) for _ in range(48)]  # of three times 16 fetches
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        async with asyncio.timeout(20):
            assert await resolver("answers.example", 80) == []
    finally:
        over.set()


def test_a_lookup_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    program = """
import asyncio, threading
from gateway.images import dialling
dialling._addresses = lambda host, port: threading.Event().wait()
async def ask():
    await asyncio.wait([asyncio.ensure_future(dialling.SystemResolver()("hangs.example", 80))], timeout=0.2)
asyncio.run(ask())
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=20)
