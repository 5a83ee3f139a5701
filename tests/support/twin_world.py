"""Shipped cards over their twins, a loopback hub, and a pull that asks there: what tests of installing start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.pulling import PullResult, pull
from gateway.artifacts.sources import Fetching, SourceChoice
from gateway.cards.installation import Installation, read_installation
from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from tests.support.local_hub import LocalHub, local_hub
from tests.support.twin_repository import publish_twins, twin_repository, twins_of
from tests.support.twins.twin import Twin


@dataclass
class TwinWorld:
    """`models` is a model repository without weights; `hub` has the twins' files."""

    models: Path
    hub: LocalHub
    staging: Path

    def card(self, name: str) -> Card:
        """By a card's own name."""
        (card,) = [card for card in Registry.from_repository(self.models).cards if card.name == name]
        return card

    def fetching(self) -> Fetching:
        return Fetching(self.staging, SourceChoice.AUTO, HubAccess(endpoint=self.hub.url, token=self.hub.token or "no"))

    def pull(self, card: Card, *, variant: str | None = None, rehash: bool = False) -> PullResult:
        return pull(card, self.fetching(), variant=variant, rehash=rehash)

    def twin(self, card: Card) -> Twin:
        cards = Registry.from_repository(self.models).find(card.name).models[0].cards
        twins = zip(cards, twins_of(card.family or card.name), strict=True)
        return next(twin for one, twin in twins if one.name == card.name)


@contextmanager
def twin_world(folder: Path, *names: str) -> Iterator[TwinWorld]:
    """The named models, all that have twins where none is named."""
    with local_hub() as hub:
        publish_twins(hub, *names)
        yield TwinWorld(twin_repository(folder / "models", *names), hub, folder / "staging")


def publish_variant(world: TwinWorld, card: Card, variant: str, *, location: str, scale: float = 1.0) -> None:
    """A variant that the card does not list, at the usual place on the hub, with its data where only its graph says.

    It is the twin's float32 file, its weights multiplied by `scale`.
    """
    files = world.twin(card).files
    model = onnx.ModelProto.FromString(files["onnx/model.onnx"])
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    data = np.frombuffer(files["onnx/model.onnx_data"], np.float32) * np.float32(scale)
    graph = f"onnx/model_{variant}.onnx"
    world.hub.publish(card.repository, {graph: model.SerializeToString(), f"onnx/{location}": data.tobytes()})


def installed(card: Card) -> Installation:
    return read_installation(card)


def files_of(card: Card) -> set[str]:
    """What lies in the version folder, relative to the model's, less what the pull keeps there for itself."""
    here = {str(path.relative_to(card.folder)) for path in card.path_of("1").rglob("*") if path.is_file()}
    return here - {"1/files.lock.json", "1/.pull.lock", "1/.gitkeep"}


def sha256s(card: Card) -> Mapping[str, str]:
    return {path: entry.sha256 for path, entry in installed(card).files.items()}
