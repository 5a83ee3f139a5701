"""HTTP/1.1 for uvicorn on the parser of httptools, with what uvicorn's own protocols lack at the edge of a network:
limits for the time and the size of a request's headers and for the patience with a client that does not read, refusals
of all that proxies may read in another way, and this project's envelope on the answer to something that is not HTTP.

uvicorn's protocol on httptools loses the body of JDK clients' first POST, which offers `Upgrade: h2c`; its protocol on
h11 takes several times the processor time of a short request to a bare application (90 to 144 us against 20), and twice
that of one to the whole gateway (270 us against 130).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast
from urllib.parse import unquote

import httptools
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway.cli.http_exchange import Exchange, fault_body, fault_headers
from gateway.cli.http_head import Head, NotHttp
from gateway.cli.idle_readers import ReaderWatch

# So little that requests sent one behind the other are few in what is parsed at once: each is worth much more memory.
_PIECE_BYTES = 4 * 1024


class GuardedHttpProtocol(asyncio.Protocol):
    """One connection. Whoever needs more than `header_timeout_seconds` for a request's headers is cut off, and so is
    whoever takes nothing of an answer for `send_timeout_seconds`.

    Requests are answered one after the other; nothing is read beyond the one that waits. Implements
    `gateway.cli.http_exchange.Wire`.
    """

    header_timeout_seconds = 10.0
    send_timeout_seconds = 30.0
    max_header_bytes = 32 * 1024

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_event_loop()
        self._head = Head()
        self._parser = httptools.HttpRequestParser(self)
        self._awaits_head = True
        self._unmeasured_bytes = 0  # fed since the headers began or since something of a body came
        self._receiving: Exchange | None = None
        self._body_left_bytes = 0  # below it where no length was given
        self._answering: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._unread = b""
        self._objection: str | None = None  # to a head the parser takes
        self._fault: str | None = None
        self._is_reading = True
        self._timer: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_since: float | None = None
        self._writable: asyncio.Future[None] | None = None
        self.is_full = False

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._readers = ReaderWatch(self._transport, self._loop, timeout_seconds=self.send_timeout_seconds)
        self._addresses = (_address(transport, "sockname"), _address(transport, "peername"))
        # uvicorn's type for it names its own protocols only.
        self._server_state.connections.add(self)  # type: ignore[arg-type]
        self._watch_progress()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._server_state.connections.discard(self)
        for timer in (self._timer, self._idle_timer):
            if timer is not None:
                timer.cancel()
        self._readers.end()
        self._unread = b""
        waiting, self._waiting = self._waiting, deque()
        for exchange in (self._answering, *waiting):
            if exchange is not None:
                exchange.leave()
        self.resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._unread:
            self._unread += data
        else:
            self._read(data)
        if not self._transport.is_closing():
            self._watch_progress()

    def pause_writing(self) -> None:
        """Called by the transport when the client has fallen behind."""
        self.is_full = True
        self._readers.begin_anew()

    def resume_writing(self) -> None:
        self.is_full = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    def shutdown(self) -> None:
        """Called by the server when it stops: what was read is answered, then the connection ends."""
        if self._answering is None:
            self._transport.close()
        else:
            (self._waiting[-1] if self._waiting else self._answering).keep_alive = False

    # Reading

    def _read(self, data: bytes) -> None:
        if len(data) <= _PIECE_BYTES and not (self._waiting or self._fault or self._transport.is_closing()):
            self._feed(data)
            return
        rest = memoryview(data)
        while rest and self._fault is None and not self._transport.is_closing():
            if self._waiting:
                self._unread = bytes(rest)
                self.hold_back()
                return
            size = max(_PIECE_BYTES, self._body_left_bytes)
            self._feed(bytes(rest[:size]) if len(rest) > size or len(rest) != len(data) else data)
            rest = rest[size:]

    def _feed(self, piece: bytes) -> None:
        self._unmeasured_bytes += len(piece)
        offered_at: int | None = None
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as offer:
            offered_at = offer.args[0]
        except httptools.HttpParserError as error:
            self._refuse(self._objection or _in_parsers_words(error))
            return
        if offered_at is not None:
            self._decline_offer(piece[offered_at:])
        elif self._unmeasured_bytes > self.max_header_bytes and (self._awaits_head or self._receiving is not None):
            self._refuse(self._too_large())

    def _decline_offer(self, rest: bytes) -> None:
        """Reads the request again without the offer: with it the parser takes its body for another protocol's."""
        if self._head.method == "CONNECT":
            self._refuse("CONNECT is for proxies, and this is none.")
            return
        self._parser = httptools.HttpRequestParser(self)
        self._unmeasured_bytes = 0
        for piece in (self._head.without_offer(), rest):
            if piece and self._fault is None:
                self._feed(piece)

    # The parser's side

    def on_message_begin(self) -> None:
        self._idle_since = None
        self._awaits_head = True
        self._head = Head()

    def on_url(self, url: bytes) -> None:
        self._head.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._awaits_head:  # else it is a trailer, which nothing here looks for and no header may come as
            self._head.headers.append((name.lower(), value.strip()))

    def on_headers_complete(self) -> None:
        try:
            self._accept_head()
        except NotHttp as objection:
            # Not left to the parser's error, whose context is another one when an application's `except` answers.
            self._objection = str(objection)
            raise

    def _accept_head(self) -> None:
        head, parser = self._head, self._parser
        head.method = parser.get_method().decode("ascii")
        head.version = parser.get_http_version()
        if parser.should_upgrade():
            return
        head.check()
        # The piece in which the headers began is not in the count when another request ended in it.
        if self._unmeasured_bytes + _PIECE_BYTES > self.max_header_bytes and head.size() > self.max_header_bytes:
            raise NotHttp(self._too_large())
        self._awaits_head = False
        self._unmeasured_bytes = 0
        self._body_left_bytes = head.content_length
        keep_alive = parser.should_keep_alive() and head.version == "1.1"
        exchange = Exchange(self._scope(head), self, keep_alive=keep_alive, owes_continue=head.expects_continue)
        self._receiving = exchange
        if self._answering is None:
            self._answer(exchange)
        else:
            self._waiting.append(exchange)

    def on_body(self, body: bytes) -> None:
        self._unmeasured_bytes = 0
        self._body_left_bytes -= len(body)
        if self._receiving is not None:
            self._receiving.add_body(body)

    def on_message_complete(self) -> None:
        if self._receiving is None:  # of an offer that is about to be declined
            return
        self._receiving.end_body()
        self._receiving = None
        self._body_left_bytes = 0
        self._unmeasured_bytes = 0

    def _scope(self, head: Head) -> Scope:
        raw_path, query = head.path_and_query()
        path = raw_path.decode("ascii")
        server, client = self._addresses
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": head.version,
            "server": server,
            "client": client,
            "scheme": "http",
            "method": head.method,
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": head.headers,
            "state": self._app_state.copy(),
        }

    # Answering

    def _answer(self, exchange: Exchange) -> None:
        self._answering = exchange
        self._idle_since = None  # its headers may have begun before the answer that set it
        task = self._loop.create_task(exchange.run(self._config.loaded_app))
        tasks = self._server_state.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def answered(self, exchange: Exchange) -> None:
        self._server_state.total_requests += 1
        self._answering = None
        self._readers.begin()
        if self._transport.is_closing():
            return
        if not exchange.keep_alive:
            self._transport.close()
        elif self._waiting:
            self._answer(self._waiting.popleft())
            self._read_what_is_here()
        elif self._fault is not None:
            self._refuse(self._fault)
        else:
            self._watch_idleness()
            self._read_what_is_here()

    def _read_what_is_here(self) -> None:
        """What came while a request waited, which may be the rest of that one's body."""
        unread, self._unread = self._unread, b""
        if unread:
            self._read(unread)
        if not self._transport.is_closing():
            self._watch_progress()
        self.read_on()

    def _refuse(self, reason: str) -> None:
        """A 400, unless an answer is under way: an earlier request's is waited for, this one's is broken off."""
        self._fault = reason
        if self._waiting and self._waiting[-1] is self._receiving:
            self._waiting.pop()
        under_way = self._answering
        if self._receiving is not None and self._receiving.is_complete:
            self._transport.close()
            return
        if under_way is not None and (under_way is not self._receiving or under_way.is_started):
            if under_way is self._receiving:
                self._transport.close()
            else:
                self.hold_back()
            return
        body = fault_body(reason, kind="invalid_request_error", code="malformed_request")
        lines = [b"%b: %b\r\n" % line for line in (*fault_headers(body), (b"connection", b"close"))]
        self.write(b"HTTP/1.1 400 Bad Request\r\n%b\r\n%b" % (b"".join(lines), body))
        self._readers.begin()
        self._transport.close()
        if under_way is not None:
            under_way.leave()

    # The exchange's side

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        return self._server_state.default_headers

    def write(self, *pieces: bytes) -> None:
        for piece in pieces:
            self._readers.sent_bytes += len(piece)
            self._transport.write(piece)

    def close(self) -> None:
        self._transport.close()

    def hold_back(self) -> None:
        if self._is_reading and not self._transport.is_closing():
            self._is_reading = False
            self._transport.pause_reading()

    def read_on(self) -> None:
        if not self._is_reading and not self._unread and self._fault is None and not self._transport.is_closing():
            self._is_reading = True
            self._transport.resume_reading()

    async def drain(self) -> None:
        while self.is_full:
            if self._writable is None or self._writable.done():
                self._writable = self._loop.create_future()
            await self._writable

    # Patience

    def _watch_progress(self) -> None:
        """While headers are awaited that have begun or are the first, or the rest of a body that is answered already:
        such a client is owed nothing and has a time limit. Headers behind a request that is still being answered have
        none yet: their rest may lie in `_unread`."""
        is_owing = (self._awaits_head and self._answering is None) or (
            self._receiving is not None and self._receiving.is_complete
        )
        if not is_owing and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        elif is_owing and self._timer is None:
            self._timer = self._loop.call_later(self.header_timeout_seconds, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        self._transport.close()

    def _watch_idleness(self) -> None:
        """One timer a connection, not one a request."""
        self._idle_since = self._loop.time()
        if self._idle_timer is None:
            self._idle_timer = self._loop.call_later(self._config.timeout_keep_alive, self._look_at_idleness)

    def _look_at_idleness(self) -> None:
        self._idle_timer = None
        if self._idle_since is None:
            return
        left_seconds = self._idle_since + self._config.timeout_keep_alive - self._loop.time()
        if left_seconds <= 0:
            self._transport.close()
        else:
            self._idle_timer = self._loop.call_later(left_seconds, self._look_at_idleness)

    def _too_large(self) -> str:
        return f"The request's headers are larger than the limit of {self.max_header_bytes} bytes."


def guarded_protocol(
    *, header_timeout_seconds: float, send_timeout_seconds: float, max_header_bytes: int
) -> type[GuardedHttpProtocol]:
    """The protocol class for uvicorn's `http=`, which takes a class and no options."""
    limits = {
        "header_timeout_seconds": header_timeout_seconds,
        "send_timeout_seconds": send_timeout_seconds,
        "max_header_bytes": max_header_bytes,
    }
    return type("ConfiguredHttpProtocol", (GuardedHttpProtocol,), limits)


def _in_parsers_words(error: Exception) -> str:
    """They are fixed and quote nothing."""
    return f"This is not valid HTTP/1.1: {error.args[0] if error.args else 'it cannot be read'}."


def _address(transport: asyncio.BaseTransport, name: str) -> tuple[str, int] | None:
    address = transport.get_extra_info(name)
    return (str(address[0]), int(address[1])) if isinstance(address, tuple) else None
