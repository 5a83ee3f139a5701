"""The head of one request: what it says about itself, and which heads are refused that the parser lets through."""

from __future__ import annotations

import httptools

_EXPECTED_VERSIONS = ("1.1", "1.0")
_OF_AN_OFFER = frozenset({b"upgrade", b"http2-settings"})
_NOTED = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})


class NotHttp(Exception):
    """A head that is refused; the message says why, in words that quote nothing."""


class Head:
    """Request line and headers, names in lower case and values without the space around them, in order.

    `content_length` and `expects_continue` are found by `check`.
    """

    __slots__ = ("content_length", "expects_continue", "headers", "method", "target", "version")

    def __init__(self) -> None:
        self.method = ""
        self.version = "1.1"
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.content_length = 0
        self.expects_continue = False

    def check(self) -> None:
        """Refuses what a proxy in front may read in another way than the parser does. Raises `NotHttp`.

        The parser itself refuses two lengths, a length beside an encoding, line ends other than CRLF, folded lines and
        names with white space.
        """
        if self.version not in _EXPECTED_VERSIONS:
            raise NotHttp("Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        is_current = self.version == "1.1"
        hosts, has_other_encoding = 0, False
        for name, value in self.headers:
            if name not in _NOTED:
                continue
            if name == b"host":
                hosts += 1
            elif name == b"content-length":
                self.content_length = int(value)
            elif name == b"transfer-encoding":
                has_other_encoding |= not is_current or value.lower() != b"chunked"
            elif is_current and value.lower() == b"100-continue":
                # Clients of HTTP/1.0 would take the interim answer for the answer (RFC 9110, 10.1.1).
                self.expects_continue = True
        if hosts > 1 or (hosts == 0 and is_current):
            raise NotHttp("A request has to have one Host header.")
        if has_other_encoding:
            raise NotHttp("The only Transfer-Encoding read here is chunked, with HTTP/1.1.")

    def size(self) -> int:
        """Bytes on the wire."""
        return len(self.target) + sum([len(name) + len(value) + 4 for name, value in self.headers])

    def path_and_query(self) -> tuple[bytes, bytes]:
        """Of any form of target: usually `/path?query`, to a proxy `http://host/path?query`. Raises `NotHttp`."""
        target = self.target
        if not target.startswith((b"/", b"*")):
            try:
                url = httptools.parse_url(target)
            except httptools.HttpParserInvalidURLError:
                raise NotHttp("The request's target cannot be read.") from None
            return url.path or b"/", url.query or b""
        path, _, query = target.partition(b"?")
        return path, query

    def without_offer(self) -> bytes:
        """The head as it was sent, less an offer to go on in another protocol."""
        lines = [b"%b %b HTTP/%b" % (self.method.encode(), self.target, self.version.encode())]
        for name, value in self.headers:
            if name == b"connection":
                value = _without_offer(value)
            if name not in _OF_AN_OFFER and (value or name != b"connection"):
                lines.append(b"%b: %b" % (name, value))
        return b"\r\n".join([*lines, b"", b""])


def _without_offer(connection: bytes) -> bytes:
    options = [option.strip() for option in connection.split(b",")]
    return b", ".join([option for option in options if option and option.lower() not in _OF_AN_OFFER])
