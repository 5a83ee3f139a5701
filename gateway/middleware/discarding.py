"""Reads what a client still sends of a refused body and throws it away: most clients read no answer before they have
sent everything, and closing the connection under them would cost them the answer that says why.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.types import Message, Receive, Scope, Send

_SCOPE_KEY = "gateway.discard"
_DEFAULT_STALL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Discard:
    """How much of a refused body may still be read: bytes, seconds for all of them, and seconds without any."""

    max_bytes: int
    timeout_seconds: float
    stall_seconds: float = _DEFAULT_STALL_SECONDS


def allow_discard(scope: Scope, discard: Discard) -> None:
    """Let the refusal of this request wait for its body; without it the connection is closed with the answer."""
    scope[_SCOPE_KEY] = discard


def ending_after_the_body(scope: Scope, receive: Receive, send: Send) -> Send:
    """`send`, which hands over the whole answer at once but, where `allow_discard` was called, ends it (and with it the
    connection) only when the body is read, its bounds are reached or the client is gone."""
    discard = scope.get(_SCOPE_KEY)
    if not isinstance(discard, Discard):
        return send

    async def send_then_discard(message: Message) -> None:
        if message["type"] != "http.response.body" or message.get("more_body", False):
            await send(message)
            return
        await send({**message, "more_body": True})
        await _read_away(receive, discard)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_then_discard


async def _read_away(receive: Receive, discard: Discard) -> None:
    received_bytes = 0
    try:
        async with asyncio.timeout(discard.timeout_seconds):
            while received_bytes < discard.max_bytes:
                async with asyncio.timeout(discard.stall_seconds):
                    message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                received_bytes += len(message.get("body", b""))
    except TimeoutError:
        return
