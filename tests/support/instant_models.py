"""Cards for tests of the HTTP edge: a plain model, one that reads images, one with tasks in several parts, and a
reranker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from gateway.cards.listing import ModelListing
from gateway.cards.schema import (
    CanarySpec,
    Card,
    ImageSpec,
    Model,
    ModelKind,
    RerankSpec,
    Role,
    TaskSpec,
    TaskTable,
    TokenizerSpec,
    VectorSpec,
)
from gateway.cards.triton_spec import TritonSpec
from gateway.errors import InvalidField, UnknownModel

DIMENSIONS = 384
RERANKER = "tiny-reranker"
FAMILY = "tiny-family"
IMAGE_MODEL = "tiny-images"
TOKEN_DIMENSIONS = 16

FAMILY_TASKS = TaskTable(
    tasks=(
        TaskSpec("retrieval.query", role=Role.QUERY, member="retrieval"),
        TaskSpec("retrieval.passage", role=Role.DOCUMENT, member="retrieval"),
        TaskSpec("text-matching", role=Role.DOCUMENT, member="text-matching"),
    ),
    default="text-matching",
    prompts={Role.QUERY: "Query: ", Role.DOCUMENT: "Document: "},
)


def card(name: str = "tiny", hub_id: str = "acme/Tiny-Model", **changes: Any) -> Card:
    """A card with every field that the models pages show."""
    facts: dict[str, Any] = {
        "name": name,
        "hub_id": hub_id,
        "repository": hub_id,
        "revision": "0" * 40,
        "licence": "apache-2.0",
        "released": date(2021, 8, 30),
        "summary": "A card for tests.",
        "folder": Path("nowhere"),
        "tokenizer": TokenizerSpec(file="tokenizer.json", max_tokens=256, pad_id=0),
        "triton": TritonSpec(backend="onnxruntime", default_model_filename="model.onnx", inputs=(), outputs=()),
        "files": (),
        "canary": CanarySpec(text="canary", expected=(1.0,)),
        "vectors": VectorSpec(dimensions=DIMENSIONS, pooling="mean"),
    }
    return Card(**facts | changes)


def plain_listing() -> ModelListing:
    return ModelListing(Model(name="tiny", hub_id="acme/Tiny-Model", cards=(card(),), aliases=("text-embedding-tiny",)))


def image_listing() -> ModelListing:
    """A model that reads images and gives a vector for each token."""
    own = card(
        IMAGE_MODEL,
        "acme/Tiny-Images",
        vectors=VectorSpec(dimensions=DIMENSIONS, pooling="mean", token_dimensions=TOKEN_DIMENSIONS),
        images=ImageSpec(prompt="<image>", pad_token="<image>", unit_pixels=28, min_pixels=784, max_pixels=784),
    )
    return ModelListing(Model(name=IMAGE_MODEL, hub_id=own.hub_id, cards=(own,)))


def reranker_listing() -> ModelListing:
    own = card(RERANKER, "acme/Tiny-Reranker", vectors=None, reranking=RerankSpec())
    return ModelListing(Model(name=RERANKER, hub_id=own.hub_id, cards=(own,)), variant="fp32")


def family_listing(name: str = FAMILY) -> ModelListing:
    """A model of two Triton models, with a shared name of its own kind."""
    vectors = VectorSpec(dimensions=DIMENSIONS, pooling="last_token", matryoshka=(32, 128))
    members = tuple(
        card(
            f"{name}-{member}", f"acme/{name}-{member}", family=name, member=member, tasks=FAMILY_TASKS, vectors=vectors
        )
        for member in ("retrieval", "text-matching")
    )
    model = Model(name=name, hub_id=f"acme/{name}", cards=members, shared_aliases={"tiny-shared": "retrieval.passage"})
    return ModelListing(model, tasks=("retrieval.query", "retrieval.passage"), variant="int8", batch_invariant=False)


@dataclass(frozen=True)
class ScriptedModels:
    """The first listing of a kind is the default one of that kind."""

    listings: Sequence[ModelListing] = (plain_listing(), reranker_listing(), image_listing())

    def list(self) -> Sequence[ModelListing]:
        return self.listings

    def resolve(self, name: str | None) -> ModelListing:
        if name is None:
            return self.listings[0]
        name = name.removesuffix(":latest")  # as the registry does
        for listing in self.listings:
            if name.lower() in {known.lower() for known in (*listing.model.names, *listing.model.shared_aliases)}:
                return listing
        served = ", ".join(listing.model.name for listing in self.listings)
        raise UnknownModel(f"There is no such model here. Served: {served}.")

    def of_kind(self, kind: ModelKind, name: str | None) -> ModelListing:
        """As `resolve`, for a request that only a model of this kind can answer."""
        if name is None:
            return next(listing for listing in self.listings if listing.model.card.kind is kind)
        listing = self.resolve(name)
        if listing.model.card.kind is not kind:
            raise InvalidField("This model is of another kind.", param="model")
        return listing
