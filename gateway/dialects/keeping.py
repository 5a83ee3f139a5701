"""Has nothing kept of a request that asks for it by `Cache-Control: no-store`: one place for every dialect."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.dialects.base import Classifier, Embedder, Services
from gateway.types import ClassifyRequest, ClassifyResult, EmbedRequest, EmbedResult


def keeping_nothing(services: Services) -> Services:
    """`services` that neither look among kept vectors nor keep any."""
    return replace(services, embedder=_Embedder(services.embedder), classifier=_Classifier(services.classifier))


@dataclass(frozen=True, slots=True)
class _Embedder:
    embedder: Embedder

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        return await self.embedder.embed(replace(request, may_keep=False))


@dataclass(frozen=True, slots=True)
class _Classifier:
    classifier: Classifier

    async def classify(self, request: ClassifyRequest) -> ClassifyResult:
        return await self.classifier.classify(replace(request, may_keep=False))
