"""The whole gateway in front of a real Triton, as official clients meet it: API keys are needed, models answer to the
names that clients have by default, and some keys meet a gateway that is busy or has lost its Triton."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.app import create_app, served_by_triton
from gateway.dialects.base import Embedder, Services
from gateway.errors import EngineUnavailable, Overloaded
from gateway.middleware.auth import caller_name
from gateway.settings import Settings
from gateway.telemetry.metrics import Metrics
from gateway.types import EmbedRequest, EmbedResult
from tests.clients.programs.report import AWAY, BUSY, BUSY_ONCE, KEY
from tests.conftest import VOCABULARIES, ServedTriton
from tests.support.live_server import live_server

# What clients ask for where nobody says anything else.
PLAIN_NAMES = (
    "text-embedding-ada-002", "text-embedding-3-small", "embed-english-v3.0", "voyage-3.5", "gemini-embedding-001",
)  # fmt: skip
RERANKER_NAMES = ("jina-reranker-v1-base-en", "rerank-v3.5", "rerank-2.5")

# Clients that go again by themselves after a 429; each has a key that is refused once.
PATIENT = (
    "openai", "azure", "langchain-openai", "langchain-cohere", "llama-index-openai", "llama-index-cohere",
    "haystack-openai", "cohere", "cohere-v2", "voyageai", "google-genai", "litellm-openai",
)  # fmt: skip
KEYS = (KEY, BUSY, AWAY, *(BUSY_ONCE + name for name in PATIENT))
_KEYS_BY_CALLER = {caller_name(key): key for key in KEYS}


@dataclass
class Troubled:
    """Embeds, but for some keys' holders; counts each key's requests."""

    embedder: Embedder
    requests: Counter[str]

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        key = _KEYS_BY_CALLER[request.caller]
        self.requests[key] += 1
        if key == BUSY or (key.startswith(BUSY_ONCE) and self.requests[key] == 1):
            raise Overloaded("Too much is waiting. Ask again in a moment.")
        if key == AWAY:
            raise EngineUnavailable("Triton is away. Ask again in a moment.")
        return await self.embedder.embed(request)


@dataclass(frozen=True)
class ClientGateway:
    """`requests` counts, by API key, what came as far as the models."""

    url: str
    requests: Counter[str] = field(default_factory=Counter)


@contextmanager
def client_gateway(triton: ServedTriton, repository: Path, *, aliases: dict[str, str]) -> Iterator[ClientGateway]:
    """On a free port, ready to serve all that `repository` holds. `aliases` are models by clients' names for them."""
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        triton_url=triton.grpc,
        triton_http_url=triton.http,
        model_repository=repository,
        vocabulary_folder=VOCABULARIES,
        api_keys=KEYS,
        model_aliases=tuple(f"{alias}={name}" for alias, name in aliases.items()),
    )
    requests: Counter[str] = Counter()

    @asynccontextmanager
    async def start(metrics: Metrics) -> AsyncIterator[Services]:
        async with served_by_triton(settings, None)(metrics) as services:
            yield replace(services, embedder=Troubled(services.embedder, requests))

    with live_server(settings, create_app(settings, start_services=start)) as server:
        server.wait_until_ready()
        yield ClientGateway(server.url, requests)
