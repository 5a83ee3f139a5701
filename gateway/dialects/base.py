"""What every dialect shares: what it may ask of the service, and the shape it has itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Scope

from gateway.cards.schema import Card
from gateway.dialects.faults import Fault
from gateway.types import EmbedRequest, EmbedResult

_STATE_KEY = "gateway"


class Embedder(Protocol):
    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """One unit vector per input, in input order. Raises the errors of `gateway.errors`."""
        ...


class ModelDirectory(Protocol):
    """The models that are served now."""

    def list(self) -> Sequence[Card]: ...

    def resolve(self, name: str | None) -> Card:
        """By short name, hub id or alias, whatever the case; None means the default. Raises `UnknownModel`."""
        ...


class ModelHealth(Protocol):
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str: ...


class HealthReport(Protocol):
    @property
    def ready(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def models(self) -> Mapping[str, ModelHealth]: ...


class Health(Protocol):
    def report(self) -> HealthReport: ...


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes talk to. Made when the app starts, found by `services_of` on each request."""

    embedder: Embedder
    models: ModelDirectory
    health: Health

    def as_state(self) -> dict[str, Any]:
        """What an ASGI lifespan yields so that every request's scope carries these services."""
        return {_STATE_KEY: self}


def services_of(scope: Scope) -> Services:
    services = scope["state"][_STATE_KEY]
    assert isinstance(services, Services)
    return services


class Dialect(Protocol):
    """One public API: its routes, and its way of putting an error."""

    @property
    def path_prefixes(self) -> Sequence[str]:
        """Errors on paths that start with one of these are rendered by this dialect."""
        ...

    def routes(self) -> Sequence[BaseRoute]: ...

    def render_fault(self, fault: Fault) -> Response: ...
