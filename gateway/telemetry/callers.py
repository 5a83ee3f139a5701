"""Who sends an HTTP request and what their API key stands for, kept beside its record and not in it: what is in the
record is logged and counted."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from gateway.types import KeyDefaults

_SCOPE_KEY = "gateway.caller"
_DEFAULTS_KEY = "gateway.key_defaults"

Scope = MutableMapping[str, Any]


def attach_caller(scope: Scope, caller: str) -> None:
    """Hang an opaque name for the API key's holder on an ASGI scope, to be found by `caller_of`."""
    scope[_SCOPE_KEY] = caller


def caller_of(scope: Scope) -> str:
    """The name of whoever sends this request; "" for everybody where no keys are asked for."""
    caller: str = scope.get(_SCOPE_KEY, "")
    return caller


def attach_key_defaults(scope: Scope, defaults: KeyDefaults) -> None:
    """Hang on an ASGI scope what the caller's API key stands for, to be found by `key_defaults_of`."""
    scope[_DEFAULTS_KEY] = defaults


def key_defaults_of(scope: Scope) -> KeyDefaults | None:
    """What the caller's API key stands for; None where it stands for nothing."""
    defaults: KeyDefaults | None = scope.get(_DEFAULTS_KEY)
    return defaults
