"""Services behind the HTTP edge that answer at once and without a model, for tests of the edge itself.

Answers are deterministic: numbers drawn from a hash of the content they are for, so a test can tell rows apart and
recompute what it expects with the `expected_*` functions.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from gateway.cards.listing import IMAGE, ModelListing
from gateway.cards.schema import ModelKind
from gateway.dialects.base import Services
from gateway.errors import InvalidField, TooManyTokenVectors
from gateway.types import (
    ClassifyRequest,
    ClassifyResult,
    EmbedRequest,
    EmbedResult,
    Float32Array,
    ImageInput,
    Input,
    RerankRequest,
    RerankResult,
    Segmentation,
    TextInput,
    TextToken,
    Usage,
)
from tests.support.instant_models import DIMENSIONS, TOKEN_DIMENSIONS, ScriptedModels

_Request = TypeVar("_Request")

TOKENIZER = "cl100k_base"
TOKENS_AN_IMAGE = 4


def _drawn(content: str) -> np.random.Generator:
    return np.random.default_rng(int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big"))


def _content(item: Input) -> str:
    return item.text if isinstance(item, TextInput) else repr(item)


def expected_tokens(item: Input) -> tuple[str, ...]:
    """A text has a token a word and one for its end."""
    return ("<image>",) * TOKENS_AN_IMAGE if isinstance(item, ImageInput) else (*_content(item).split(), "<end>")


def expected_vector(item: Input, dimensions: int = DIMENSIONS) -> Float32Array:
    """What `InstantEmbedder` gives for one input: float32 [dimensions], unit length."""
    return _unit_rows(_drawn(_content(item)).standard_normal((1, dimensions)))[0]


def expected_token_vectors(item: Input) -> Float32Array:
    """What `InstantEmbedder` gives for one input's tokens: float32 [tokens, TOKEN_DIMENSIONS], each of unit length."""
    return _unit_rows(_drawn(_content(item)).standard_normal((len(expected_tokens(item)), TOKEN_DIMENSIONS)))


def _unit_rows(rows: np.ndarray) -> Float32Array:
    single = rows.astype(np.float32)
    return single / np.linalg.norm(single, axis=1, keepdims=True)


def expected_score(query: str, document: str) -> np.float32:
    """What `InstantReranker` gives for a pair: 0 to 1."""
    return np.float32(_drawn(f"{query}\n{document}").random())


def expected_label_scores(item: Input, labels: tuple[str, ...]) -> Float32Array:
    """What `InstantClassifier` gives for one input and one group: float32 [labels], adding up to 1."""
    scores = np.array([_drawn(f"{_content(item)}\n{label}").random() for label in labels])
    return (scores / scores.sum()).astype(np.float32)


@dataclass
class Instant(Generic[_Request]):
    """Keeps the requests it saw.

    `error` is raised instead of answering, `errors_left` times or, below zero, always; `hold` makes it wait until
    cancelled.
    """

    models: ScriptedModels
    seen: list[_Request] = field(default_factory=list)
    error: Exception | None = None
    errors_left: int = -1
    hold: bool = False
    pause_seconds: float = 0.0
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: _Request) -> None:
        self.seen.append(request)
        if self.hold:
            await self._wait_for_cancellation()
        if self.pause_seconds:
            await asyncio.sleep(self.pause_seconds)
        if self.error is not None and self.errors_left != 0:
            self.errors_left -= 1
            raise self.error

    async def _wait_for_cancellation(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def _check_inputs(listing: ModelListing, inputs: Sequence[Input]) -> None:
    if IMAGE not in listing.modalities and any(isinstance(item, ImageInput) for item in inputs):
        raise InvalidField("This model reads text only.", param="input", code="unsupported_modality")


def _check_token_vectors(request: EmbedRequest) -> None:
    most = request.max_token_vectors
    if request.multi_vector and most is not None and sum(map(len, map(expected_tokens, request.inputs))) > most:
        raise TooManyTokenVectors("More tokens than are wanted.", param="input")


@dataclass
class InstantEmbedder(Instant[EmbedRequest]):
    """Counts a token an input, and an image's own."""

    warnings: tuple[str, ...] = ()
    fixed: Float32Array | None = None

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        await self.take(request)
        listing = self.models.of_kind(ModelKind.EMBEDDING, request.model)
        dimensions = request.dimensions or DIMENSIONS
        if dimensions > DIMENSIONS:
            raise InvalidField(f"'dimensions' is above the model's own {DIMENSIONS}.", param="dimensions")
        if request.multi_vector and not listing.multi_vector:
            raise InvalidField("This model gives one vector an input.", param="return_multivector")
        _check_inputs(listing, request.inputs)
        _check_token_vectors(request)
        images = sum(isinstance(item, ImageInput) for item in request.inputs)
        tokens = len(request.inputs) - images + images * TOKENS_AN_IMAGE
        vectors = np.stack([expected_vector(item, dimensions) for item in request.inputs])
        return EmbedResult(
            model=listing.model.name,
            vectors=self.fixed if self.fixed is not None else vectors[:0] if request.multi_vector else vectors,
            usage=Usage(prompt_tokens=tokens, total_tokens=tokens, image_tokens=images * TOKENS_AN_IMAGE),
            warnings=self.warnings,
            token_vectors=tuple(map(expected_token_vectors, request.inputs)) if request.multi_vector else None,
            tokens=tuple(map(expected_tokens, request.inputs)) if request.return_tokens else None,
        )


@dataclass
class InstantReranker(Instant[RerankRequest]):
    fixed: Float32Array | None = None

    async def rerank(self, request: RerankRequest) -> RerankResult:
        await self.take(request)
        listing = self.models.of_kind(ModelKind.RERANKER, request.model)
        scores = np.array([expected_score(request.query, document) for document in request.documents], np.float32)
        tokens = len(request.documents)
        return RerankResult(
            model=listing.model.name,
            scores=scores if self.fixed is None else self.fixed,
            logits=np.log(scores) - np.log1p(-scores),
            usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
        )


@dataclass
class InstantClassifier(Instant[ClassifyRequest]):
    async def classify(self, request: ClassifyRequest) -> ClassifyResult:
        await self.take(request)
        listing = self.models.of_kind(ModelKind.EMBEDDING, request.model)
        _check_inputs(listing, request.inputs)
        tokens = len(request.inputs)
        return ClassifyResult(
            model=listing.model.name,
            scores=tuple(
                np.stack([expected_label_scores(item, tuple(labels)) for item in request.inputs])
                for labels in request.label_groups
            ),
            usage=Usage(prompt_tokens=tokens, total_tokens=tokens),
        )


@dataclass
class InstantSegmenter(Instant[str]):
    """A token is a word with the white space before it, its id the word's length; a chunk is as long as it may be."""

    async def segment(self, text: str, *, tokenizer: str, max_chunk_characters: int | None) -> Segmentation:
        await self.take(text)
        known = (TOKENIZER, *(listing.model.name for listing in self.models.list()))
        if tokenizer not in known:
            raise InvalidField("There is no such tokenizer here.", param="tokenizer")
        words = re.findall(r"\s*\S+|\s+", text)
        cuts = range(0, len(text), max_chunk_characters) if max_chunk_characters else ()
        return Segmentation(
            token_count=len(words),
            tokens=tuple((word, (len(word),)) for word in words),
            chunk_positions=tuple((start, min(start + (max_chunk_characters or 0), len(text))) for start in cuts),
        )


@dataclass
class InstantTokenizer(Instant[str]):
    """A token is a word, its id 100 and its length; 1 and 2 stand around a text. A side is put before a text."""

    async def tokenize(
        self, texts: Sequence[str], *, model: str | None, special_tokens: bool, side: str | None
    ) -> list[list[TextToken]]:
        await self.take(" ".join(texts))
        self.models.resolve(model)
        return [list(self._tokens(f"{side}: {text}" if side else text, special_tokens)) for text in texts]

    @staticmethod
    def _tokens(text: str, special_tokens: bool) -> Iterator[TextToken]:
        if special_tokens:
            yield TextToken(1, "<s>", special=True)
        for word in re.finditer(r"\S+", text):
            yield TextToken(100 + len(word[0]), word[0], special=False, start=word.start(), stop=word.end())
        if special_tokens:
            yield TextToken(2, "</s>", special=True)

    async def decode(self, rows: Sequence[Sequence[int]], *, model: str | None, skip_special_tokens: bool) -> list[str]:
        await self.take("")
        self.models.resolve(model)
        if any(token > 1000 for row in rows for token in row):
            raise InvalidField("There is no such token.", param="ids")
        names = {1: "" if skip_special_tokens else "<s>", 2: "" if skip_special_tokens else "</s>"}
        return [" ".join(filter(None, (names.get(token, "w" * (token - 100)) for token in row))) for row in rows]


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
    reranker: InstantReranker = field(init=False)
    classifier: InstantClassifier = field(init=False)
    segmenter: InstantSegmenter = field(init=False)
    tokenizer: InstantTokenizer = field(init=False)

    def __post_init__(self) -> None:
        self.embedder = InstantEmbedder(self.models)
        self.reranker = InstantReranker(self.models)
        self.classifier = InstantClassifier(self.models)
        self.segmenter = InstantSegmenter(self.models)
        self.tokenizer = InstantTokenizer(self.models)

    @asynccontextmanager
    async def start(self, *_: object) -> AsyncIterator[Services]:
        yield Services(
            embedder=self.embedder,
            reranker=self.reranker,
            classifier=self.classifier,
            segmenter=self.segmenter,
            tokenizer=self.tokenizer,
            models=self.models,
            health=self.health,
        )
