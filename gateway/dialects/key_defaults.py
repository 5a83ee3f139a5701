"""Fills in what an API key stands for where a request leaves it open: one place for every dialect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.cards.listing import ModelListing
from gateway.cards.schema import ModelKind
from gateway.dialects.base import Classifier, Embedder, ModelDirectory, Reranker, Services, Tokenizer
from gateway.errors import EngineUnavailable, UnknownModel
from gateway.types import (
    ClassifyRequest,
    ClassifyResult,
    EmbedRequest,
    EmbedResult,
    KeyDefaults,
    RerankRequest,
    RerankResult,
    TextToken,
)


def with_key_defaults(services: Services, defaults: KeyDefaults) -> Services:
    """`services` as the holder of a key sees them."""
    own = _Own(defaults, services.models)
    return replace(
        services,
        embedder=_Embedder(services.embedder, own),
        reranker=_Reranker(services.reranker, own),
        classifier=_Classifier(services.classifier, own),
        tokenizer=_Tokenizer(services.tokenizer, own),
        models=_Models(services.models, own),
    )


@dataclass(frozen=True, slots=True)
class _Own:
    defaults: KeyDefaults
    models: ModelDirectory

    def model(self, named: str | None, kind: ModelKind) -> str | None:
        """The model of a request: the one that it names, else the key's where that is of this kind."""
        if named is not None or self.defaults.model is None:
            return named
        try:
            is_fitting = self.models.resolve(self.defaults.model).model.card.kind is kind
        except (UnknownModel, EngineUnavailable):
            # It is not served now. Who asks for vectors is told so; a reranker is looked for elsewhere.
            is_fitting = kind is ModelKind.EMBEDDING
        return self.defaults.model if is_fitting else None


@dataclass(frozen=True, slots=True)
class _Embedder:
    embedder: Embedder
    own: _Own

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        model = self.own.model(request.model, ModelKind.EMBEDDING)
        return await self.embedder.embed(replace(request, model=model, default_task=self.own.defaults.task))


@dataclass(frozen=True, slots=True)
class _Reranker:
    reranker: Reranker
    own: _Own

    async def rerank(self, request: RerankRequest) -> RerankResult:
        return await self.reranker.rerank(replace(request, model=self.own.model(request.model, ModelKind.RERANKER)))


@dataclass(frozen=True, slots=True)
class _Classifier:
    classifier: Classifier
    own: _Own

    async def classify(self, request: ClassifyRequest) -> ClassifyResult:
        return await self.classifier.classify(
            replace(request, model=self.own.model(request.model, ModelKind.EMBEDDING))
        )


@dataclass(frozen=True, slots=True)
class _Tokenizer:
    tokenizer: Tokenizer
    own: _Own

    async def tokenize(
        self, texts: Sequence[str], *, model: str | None, special_tokens: bool, side: str | None
    ) -> Sequence[Sequence[TextToken]]:
        model = self.own.model(model, ModelKind.EMBEDDING)
        return await self.tokenizer.tokenize(texts, model=model, special_tokens=special_tokens, side=side)

    async def decode(
        self, rows: Sequence[Sequence[int]], *, model: str | None, skip_special_tokens: bool
    ) -> Sequence[str]:
        model = self.own.model(model, ModelKind.EMBEDDING)
        return await self.tokenizer.decode(rows, model=model, skip_special_tokens=skip_special_tokens)


@dataclass(frozen=True, slots=True)
class _Models:
    models: ModelDirectory
    own: _Own

    def list(self) -> Sequence[ModelListing]:
        return self.models.list()

    def resolve(self, name: str | None) -> ModelListing:
        return self.models.resolve(self.own.model(name, ModelKind.EMBEDDING))
