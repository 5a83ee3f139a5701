"""What every dialect shares: what it may ask of the service, and the shape it has itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Scope

from gateway.cards.listing import ModelListing
from gateway.dialects.faults import Fault
from gateway.types import (
    ClassifyRequest,
    ClassifyResult,
    EmbedRequest,
    EmbedResult,
    RerankRequest,
    RerankResult,
    Segmentation,
    TextToken,
)

_STATE_KEY = "gateway"


class Embedder(Protocol):
    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """One vector per input, in input order, of unit length unless asked otherwise. Raises the errors of
        `gateway.errors`."""
        ...


class Reranker(Protocol):
    async def rerank(self, request: RerankRequest) -> RerankResult:
        """One score per document, in their order. Raises the errors of `gateway.errors`."""
        ...


class Classifier(Protocol):
    async def classify(self, request: ClassifyRequest) -> ClassifyResult:
        """One distribution over each group's labels per input. Raises the errors of `gateway.errors`."""
        ...


class Segmenter(Protocol):
    async def segment(self, text: str, *, tokenizer: str, max_chunk_characters: int | None) -> Segmentation:
        """Counts tokens of a vocabulary, or of a served model by its name, and cuts the text into pieces where
        `max_chunk_characters` is given. Raises `InvalidField` for an unknown tokenizer."""
        ...


class Tokenizer(Protocol):
    async def tokenize(
        self, texts: Sequence[str], *, model: str | None, special_tokens: bool, side: str | None
    ) -> Sequence[Sequence[TextToken]]:
        """Each text's tokens by a served model's tokenizer, the prefix of a side of a search included where one is
        named. Raises the errors of `gateway.errors`."""
        ...

    async def decode(
        self, rows: Sequence[Sequence[int]], *, model: str | None, skip_special_tokens: bool
    ) -> Sequence[str]:
        """The text of each row of a served model's token ids. Raises the errors of `gateway.errors`."""
        ...


class ModelDirectory(Protocol):
    """The models that are served now."""

    def list(self) -> Sequence[ModelListing]: ...

    def resolve(self, name: str | None) -> ModelListing:
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
    reranker: Reranker
    classifier: Classifier
    segmenter: Segmenter
    tokenizer: Tokenizer
    models: ModelDirectory
    health: Health

    def as_state(self) -> dict[str, Any]:
        """What an ASGI lifespan yields so that every request's scope carries these services."""
        return {_STATE_KEY: self}


def services_of(scope: Scope) -> Services:
    services: Services = scope["state"][_STATE_KEY]
    return services


class Dialect(Protocol):
    """One public API: its routes, and its way of putting an error.

    docs/api-reference.md is generated from what stands here: each route with its `name`, the docstring of its
    `describe` and its source. After a change run scripts/render_reference.py.
    """

    @property
    def name(self) -> str:
        """A word of its own, by which an endpoint of a shared path says whose request it got."""
        ...

    @property
    def source(self) -> str:
        """The address of the vendor's page that this API follows. A route that follows another page names it itself:
        `serve(..., source=...)`."""
        ...

    @property
    def path_prefixes(self) -> Sequence[str]:
        """Where it words errors beside its own routes: on paths that nobody serves and that start with one of these.
        May be empty."""
        ...

    def routes(self) -> Sequence[BaseRoute]: ...

    def render_fault(self, fault: Fault, *, request_id: str) -> Response: ...


@runtime_checkable
class WorksBetweenRequests(Protocol):
    """A dialect with work that no request waits for."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """Open for as long as the app answers requests; at its end that work is over, and the services still run."""
        ...
