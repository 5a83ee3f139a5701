"""Services behind the HTTP edge that answer at once and without a model, for tests of the edge itself.

Vectors are deterministic: value j of input i is a hash of the input's own content, made unit length, so a test can tell
rows apart and recompute what it expects with `expected_vector`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np

from gateway.cards.schema import CanarySpec, Card, TokenizerSpec, TritonSpec, VectorSpec
from gateway.dialects.base import Services
from gateway.errors import InvalidField, UnknownModel
from gateway.types import EmbedRequest, EmbedResult, Float32Array, Input, TextInput, Usage

DIMENSIONS = 384


def card(
    name: str = "tiny", hub_id: str = "acme/Tiny-Model", aliases: tuple[str, ...] = ("text-embedding-tiny",)
) -> Card:
    """A card with every field that the models pages show."""
    return Card(
        name=name,
        hub_id=hub_id,
        revision="0" * 40,
        licence="apache-2.0",
        released=date(2021, 8, 30),
        summary="A card for tests.",
        folder=Path("nowhere"),
        tokenizer=TokenizerSpec(file="tokenizer.json", max_tokens=256, pad_id=0),
        vectors=VectorSpec(dimensions=DIMENSIONS, pooling="mean"),
        triton=TritonSpec(backend="onnxruntime", default_model_filename="model.onnx", inputs=(), outputs=()),
        files=(),
        canary=CanarySpec(text="canary", expected=(1.0,)),
        aliases=aliases,
    )


def expected_vector(item: Input, dimensions: int = DIMENSIONS) -> Float32Array:
    """What `InstantEmbedder` gives for one input: float32 [dimensions], unit length."""
    content = item.text.encode() if isinstance(item, TextInput) else repr(item.ids).encode()
    seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


@dataclass
class InstantEmbedder:
    """Keeps the requests it saw.

    `error` is raised instead of answering, `errors_left` times or, below zero, always; `hold` makes it wait until
    cancelled.
    """

    models: ScriptedModels
    seen: list[EmbedRequest] = field(default_factory=list)
    error: Exception | None = None
    errors_left: int = -1
    warnings: tuple[str, ...] = ()
    hold: bool = False
    pause_seconds: float = 0.0
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    fixed: Float32Array | None = None

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        self.seen.append(request)
        if self.hold:
            await self._wait_for_cancellation()
        if self.pause_seconds:
            await asyncio.sleep(self.pause_seconds)
        if self.error is not None and self.errors_left != 0:
            self.errors_left -= 1
            raise self.error
        chosen = self.models.resolve(request.model)
        dimensions = request.dimensions or DIMENSIONS
        if dimensions > DIMENSIONS:
            raise InvalidField(f"'dimensions' is above the model's own {DIMENSIONS}.", param="dimensions")
        tokens = len(request.inputs)
        return EmbedResult(
            model=chosen.name,
            vectors=self.fixed
            if self.fixed is not None
            else np.stack([expected_vector(i, dimensions) for i in request.inputs]),
            usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
            warnings=self.warnings,
        )

    async def _wait_for_cancellation(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@dataclass(frozen=True)
class ScriptedModels:
    cards: Sequence[Card] = (card(),)

    def list(self) -> Sequence[Card]:
        return self.cards

    def resolve(self, name: str | None) -> Card:
        if name is None:
            return self.cards[0]
        for candidate in self.cards:
            if name.lower() in {other.lower() for other in (candidate.name, candidate.hub_id, *candidate.aliases)}:
                return candidate
        raise UnknownModel("There is no such model here. Served: " + ", ".join(c.name for c in self.cards) + ".")


@dataclass(frozen=True)
class ModelState:
    state: str
    reason: str = ""


@dataclass(frozen=True)
class Report:
    ready: bool = True
    reason: str = ""
    models: Mapping[str, ModelState] = field(default_factory=lambda: {"tiny": ModelState("ready")})


@dataclass
class ScriptedHealth:
    current: Report = field(default_factory=Report)

    def report(self) -> Report:
        return self.current


@dataclass
class InstantServices:
    """Hand `start` to `create_app(settings, start_services=...)`; change the parts while the app runs."""

    models: ScriptedModels = field(default_factory=ScriptedModels)
    health: ScriptedHealth = field(default_factory=ScriptedHealth)
    embedder: InstantEmbedder = field(init=False)

    def __post_init__(self) -> None:
        self.embedder = InstantEmbedder(self.models)

    @asynccontextmanager
    async def start(self, *_: object) -> AsyncIterator[Services]:
        yield Services(embedder=self.embedder, models=self.models, health=self.health)
