"""Who sends an HTTP request, kept beside its record and not in it: what is in the record is logged and counted."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

_SCOPE_KEY = "gateway.caller"

Scope = MutableMapping[str, Any]


def attach_caller(scope: Scope, caller: str) -> None:
    """Hang an opaque name for the API key's holder on an ASGI scope, to be found by `caller_of`."""
    scope[_SCOPE_KEY] = caller


def caller_of(scope: Scope) -> str:
    """The name of whoever sends this request; "" for everybody where no keys are asked for."""
    caller = scope.get(_SCOPE_KEY, "")
    return caller if isinstance(caller, str) else ""
