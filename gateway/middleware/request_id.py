"""Gives every request an id, on its log lines and on its answer, so that the two can be brought together."""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.telemetry.requests import RequestRecord, attach_record

HEADER = b"x-request-id"

_ACCEPTABLE = re.compile(rb"[\x21-\x7e]{1,128}")


class RequestId:
    """Takes the caller's `x-request-id` where it is 1 to 128 printable ASCII characters, else makes one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_from(scope["headers"])
        attach_record(scope, RequestRecord(request_id=request_id))
        header = (HEADER, request_id.encode("ascii"))

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], header]
            return send(message)

        await self._app(scope, receive, send_with_id)


def request_id_from(headers: list[tuple[bytes, bytes]]) -> str:
    """The id the caller chose, else a new one of 32 hexadecimal digits: not to be met twice, but no secret."""
    for name, value in headers:
        if name == HEADER and _ACCEPTABLE.fullmatch(value):
            return value.decode("ascii")
    return random.getrandbits(128).to_bytes(16, "big").hex()
