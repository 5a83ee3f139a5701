"""What every endpoint that takes a JSON body does around its own work, as a bare ASGI app."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from gateway.dialects.base import Services, services_of
from gateway.dialects.bodies import await_while_connected, check_value_count, parse_object, read_body
from gateway.dialects.inputs import InputLimits
from gateway.dialects.keeping import keeping_nothing
from gateway.dialects.key_defaults import with_key_defaults
from gateway.errors import MalformedBody
from gateway.records import record
from gateway.telemetry.callers import caller_of, key_defaults_of
from gateway.telemetry.connections import connection_of
from gateway.telemetry.requests import record_of
from gateway.types import StageSeconds, Usage

WARNING_HEADER = b"x-gateway-warning"

_WITHOUT_BODY = ("GET", "HEAD")
_MAX_QUERY_FIELDS = 32

_Result = TypeVar("_Result")
Header = tuple[bytes, bytes]


@record(frozen=True, slots=True)
class EndpointLimits:
    """`inputs` bounds what one request may ask for, `max_body_values` the JSON values of its body; the latter has to
    leave room for the most token ids."""

    inputs: InputLimits
    max_body_values: int
    request_timeout_seconds: float


@record(frozen=True, slots=True)
class Call:
    """One request on its way. `deadline` is a reading of `time.monotonic()`, in seconds."""

    fields: dict[str, Any]
    limits: EndpointLimits
    deadline: float
    scope: Scope
    receive: Receive

    @property
    def services(self) -> Services:
        """What answers, with the defaults of the caller's API key filled in; it keeps nothing of a request that forbids
        it."""
        services = services_of(self.scope)
        defaults = key_defaults_of(self.scope)
        if defaults is not None:
            services = with_key_defaults(services, defaults)
        return services if self.may_keep else keeping_nothing(services)

    @property
    def request_id(self) -> str:
        return record_of(self.scope).request_id

    @property
    def caller(self) -> str:
        """An opaque name for whoever sends this; "" where nobody is told apart."""
        return caller_of(self.scope)

    def speak(self, dialect: str) -> None:
        """On a path of several APIs: which one this request is of, so that an error is put in its words."""
        record_of(self.scope).dialect = dialect

    def header(self, name: bytes) -> str | None:
        """The first header of this name, in lower case."""
        for key, value in self.scope["headers"]:
            if key == name:
                return str(value, "latin-1")
        return None

    @property
    def may_keep(self) -> bool:
        """False where `Cache-Control: no-store` asks that nothing of this request is kept."""
        for name, value in self.scope["headers"]:
            if name == b"cache-control" and b"no-store" in value.lower():
                return False
        return True

    def wait_for(self, work: Coroutine[Any, Any, _Result]) -> Coroutine[Any, Any, _Result]:
        """`work`'s result, as long as the client is there. Raises `ClientDisconnect`."""
        return await_while_connected(work, self.receive, connection_of(self.scope))

    def note(self, *, model: str, inputs: int, usage: Usage, stages: StageSeconds) -> None:
        """For the log line and the metrics."""
        record = record_of(self.scope)
        record.model = model
        record.inputs = inputs
        record.tokens = usage.total_tokens
        record.stages = stages


@dataclass(slots=True)
class Answer:
    """A body, JSON unless `content_type` says otherwise, and what goes into headers: warnings, and headers of an API's
    own."""

    body: bytes | memoryview
    warnings: Sequence[str] = ()
    headers: Sequence[Header] = ()
    content_type: bytes = b"application/json"


class JsonEndpoint:
    """Has `answer` work on a request's fields and sends the outcome, in JSON.

    `route` is its name in metrics and logs. A GET request's fields are in its query string, any other's in its body.
    """

    def __init__(self, route: str, answer: Callable[[Call], Awaitable[Answer]], *, limits: EndpointLimits) -> None:
        self._route = route
        self._answer = answer
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record_of(scope).route = self._route
        deadline = time.monotonic() + self._limits.request_timeout_seconds
        if scope["method"] in _WITHOUT_BODY:
            fields = _query_fields(scope)
        else:
            body = await read_body(receive)
            if len(body) > self._limits.max_body_values:  # fewer bytes hold no more values
                await check_value_count(body, max_values=self._limits.max_body_values)
            fields = parse_object(body)
        await _send_answer(send, await self._answer(Call(fields, self._limits, deadline, scope, receive)))


def _query_fields(scope: Scope) -> dict[str, Any]:
    """The fields of a query string, each a string; of one that is given twice, the last."""
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_QUERY_FIELDS,
        )
    except ValueError:
        raise MalformedBody(
            f"The query string has to be percent-encoded UTF-8 of at most {_MAX_QUERY_FIELDS} fields."
        ) from None
    return dict(pairs)


async def _send_answer(send: Send, answer: Answer) -> None:
    """A 200 with `answer`."""
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]
    if answer.warnings:
        headers += [(WARNING_HEADER, _header_text(warning)) for warning in answer.warnings]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _header_text(text: str) -> bytes:
    """`text` as a header value: printable ASCII, anything else replaced."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text).encode("ascii")
