"""What the server knows about the connection a request came on, for layers that would else have to ask for it with a
task or a timer of their own on every request.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, Protocol

_SCOPE_KEY = "gateway.connection"


class Connection(Protocol):
    """`when_gone` is called at most once, when the client is gone before its answer is complete; a new value replaces
    the one before."""

    when_gone: Callable[[], None] | None

    @property
    def is_gone(self) -> bool: ...

    @property
    def has_whole_body(self) -> bool:
        """Whether the request's body has arrived to its end, so that reading it waits for nobody."""
        ...


def attach_connection(scope: MutableMapping[str, Any], connection: Connection) -> None:
    """Hang `connection` on an ASGI scope, to be found by `connection_of`."""
    scope[_SCOPE_KEY] = connection


def detach_connection(scope: MutableMapping[str, Any]) -> None:
    """To be called when the request is over: scope and connection name each other, and are freed at once when they do
    not."""
    scope.pop(_SCOPE_KEY, None)


def connection_of(scope: MutableMapping[str, Any]) -> Connection | None:
    """The connection of this request; None under another server than this project's own."""
    connection: Connection | None = scope.get(_SCOPE_KEY)
    return connection
