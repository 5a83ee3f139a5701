"""The models served now, by all their names. Which those are follows Triton: a model loaded later needs no restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.batching.scheduler import Scheduler
from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.errors import EngineUnavailable, InvalidField, UnknownModel
from gateway.text.reading import InputReader


@dataclass(frozen=True, slots=True)
class ServedModel:
    """Everything that one model needs to answer."""

    card: Card
    reader: InputReader
    scheduler: Scheduler


class ServedModels:
    """The models that Triton has shown ready at least once and that this gateway is allowed to serve.

    A model stays served while its Triton is away: its requests are then answered 503, not 404. It leaves when Triton
    answers and says that it was unloaded.
    """

    def __init__(self, registry: Registry, *, default_model: str | None) -> None:
        """`default_model` is any name of a card, for requests that name none."""
        self._registry = registry
        self._default_model = default_model
        self._served: dict[str, ServedModel] = {}

    def list(self) -> Sequence[Card]:
        """The cards of the served models, by name."""
        return [self._served[name].card for name in sorted(self._served)]

    def resolve(self, name: str | None) -> Card:
        """The card that answers to a short name, hub id or alias in any case; None means the default model.

        Raises `UnknownModel` or, where a name is missing and none can be assumed, `InvalidField`.
        """
        return self.find(name).card

    def find(self, name: str | None) -> ServedModel:
        """As `resolve`, with what the model needs to answer."""
        name = name or self._default_model
        if name is None:
            return self._only()
        try:
            card = self._registry.resolve(name)
        except UnknownModel:
            raise UnknownModel(f"The model {name[:200]!r} does not exist. {self._describe()}") from None
        if card.name not in self._served:
            raise self._not_served(card)
        return self._served[card.name]

    def all(self) -> Mapping[str, ServedModel]:
        """The served models by name."""
        return self._served

    def put(self, model: ServedModel) -> None:
        self._served[model.card.name] = model

    def remove(self, name: str) -> ServedModel | None:
        return self._served.pop(name, None)

    def _only(self) -> ServedModel:
        if len(self._served) == 1:
            return next(iter(self._served.values()))
        if not self._served:
            raise EngineUnavailable("No model is served yet.", code="no_model_served")
        raise InvalidField(f"Please name a model. {self._describe()}", param="model", code="model_required")

    def _not_served(self, card: Card) -> UnknownModel | EngineUnavailable:
        if not self._served:
            # Triton has not been seen yet, so it cannot be said that the model is not there.
            return EngineUnavailable(
                f"The model {card.name!r} is not served yet; Triton is starting or away, or its files are missing: "
                f"gateway models pull {card.name}",
                code="no_model_served",
            )
        return UnknownModel(
            f"The model {card.name!r} is known but not loaded. Install it with `gateway models pull {card.name}` and "
            f"start again. {self._describe()}"
        )

    def _describe(self) -> str:
        served = ", ".join(sorted(self._served))
        known = [card.name for card in self._registry.cards if card.name not in self._served]
        loaded = f"Served: {served}." if served else "No model is served at the moment."
        if not known:
            return loaded
        return f"{loaded} Known, to be installed with `gateway models pull NAME`: {', '.join(known)}."
