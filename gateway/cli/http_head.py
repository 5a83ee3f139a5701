"""The head of one request: what it says about itself, and which heads are refused that the parser lets through."""

from __future__ import annotations

import httptools

_EXPECTED_VERSIONS = ("1.1", "1.0")
_OF_AN_OFFER = frozenset({b"upgrade", b"http2-settings"})
_NOTED = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})


class NotHttp(Exception):
    """A head that is refused; the message says why, in words that quote nothing."""


class Head:
    """Request line and headers, names in lower case and values without the space around them, in order."""

    __slots__ = ("_noted", "headers", "method", "target", "version")

    def __init__(self) -> None:
        self.method = ""
        self.version = "1.1"
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._noted: list[tuple[bytes, bytes]] = []

    def add(self, name: bytes, value: bytes) -> None:
        header = (name, value)
        self.headers.append(header)
        if name in _NOTED:
            self._noted.append(header)

    def check(self) -> None:
        """Refuses what a proxy in front may read in another way than the parser does. Raises `NotHttp`.

        The parser itself refuses two lengths, a length beside an encoding, line ends other than CRLF, folded lines and
        names with white space.
        """
        if self.version not in _EXPECTED_VERSIONS:
            raise NotHttp("Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        hosts = sum([name == b"host" for name, _ in self._noted])
        if hosts > 1 or (hosts == 0 and self.version == "1.1"):
            raise NotHttp("A request has to have one Host header.")
        for name, value in self._noted:
            if name == b"transfer-encoding" and (value.lower() != b"chunked" or self.version != "1.1"):
                raise NotHttp("The only Transfer-Encoding read here is chunked, with HTTP/1.1.")

    @property
    def content_length(self) -> int:
        return next((int(value) for name, value in self._noted if name == b"content-length"), 0)

    @property
    def expects_continue(self) -> bool:
        """Never with HTTP/1.0, whose clients would take the interim answer for the answer (RFC 9110, 10.1.1)."""
        if self.version != "1.1":
            return False
        return any(name == b"expect" and value.lower() == b"100-continue" for name, value in self._noted)

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
