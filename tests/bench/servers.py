"""Small HTTP servers with a script, for the load generators: each request's answer is the next of a list."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from gateway.bench.target import Target

Answer = Callable[[int, list[str]], Awaitable[bytes]]
"""A whole HTTP answer to the request of that number, which held these texts."""


@dataclass
class Scripted:
    """`requests` are the bodies that came, in order; `open` counts connections that are open now."""

    answer: Answer
    requests: list[dict[str, object]] = field(default_factory=list)
    open: int = 0
    most_open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
                body = json.loads(await reader.readexactly(length))
                self.requests.append(body)
                given = body["input"]
                reply = await self.answer(len(self.requests) - 1, [given] if isinstance(given, str) else given)
                writer.write(reply)
                await writer.drain()
                if not reply or b"connection: close" in reply.lower():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def scripted(answer: Answer) -> AsyncIterator[tuple[Scripted, Target]]:
    script = Scripted(answer)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield script, Target("scripted", "127.0.0.1", port, "/v1/embeddings", "some-model")
    finally:
        server.close()


def answered(body: bytes, *, status: int = 200, more: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def embeddings(texts: list[str], *, as_numbers: bool = False) -> bytes:
    """For each text a vector of its length and its place, in OpenAI's shape."""
    rows = [np.array([len(text), place], "<f4") for place, text in enumerate(texts)]
    data = [
        {"index": place, "embedding": row.tolist() if as_numbers else base64.b64encode(row.tobytes()).decode()}
        for place, row in enumerate(rows)
    ]
    return json.dumps({"object": "list", "data": data}).encode()
