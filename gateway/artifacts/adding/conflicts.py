"""What a new model meets in a repository of models: itself, added before, or another one that has its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.artifacts.adding.plan import AddOptions
from gateway.cards.loading import CARD_FILE
from gateway.cards.registry import Registry
from gateway.cards.schema import Card, Model
from gateway.errors import ConfigurationError, UnknownModel

_OTHER_NAME = "Add it under another name with --name OTHER."


def known_cards(registry: Registry, repository: str, options: AddOptions) -> tuple[Card, ...]:
    """The cards whose files come from this repository, where the operator does not ask for a model of another name."""
    wanted = repository.lower()
    for model in registry.models:
        own = [card for card in model.cards if wanted in (card.hub_id.lower(), card.repository.lower())]
        cards = model.cards if wanted == model.hub_id.lower() else tuple(own)
        if cards and (options.name is None or _is_called(model, options.name)):
            return cards
    return ()


def free_hub_id(registry: Registry, repository: str, name: str) -> str:
    """What callers may call the model beside its name: the repository's own name, unless another model has it."""
    return name if _holder(registry, repository) else repository


def check_free(registry: Registry, name: str, folder: Path) -> None:
    """Raises `ConfigurationError` where a model of another repository answers to `name`, or something else has its
    folder."""
    holder = _holder(registry, name)
    if holder is not None:
        raise ConfigurationError(
            f"The name {name!r} is taken by the model {holder.name}, of {holder.card.repository}.", remedy=_OTHER_NAME
        )
    if folder.exists():
        raise ConfigurationError(f"{folder} is there already and has no {CARD_FILE}.", remedy=_OTHER_NAME)


def check_same(card: Card, options: AddOptions, *, revision: str | None) -> None:
    """Raises `ConfigurationError` where the operator states something else than the card of a model that is there.

    `revision` is the commit that the stated revision stands for; None where none is stated.
    """
    differences = list(_differences(card, options, revision))
    if differences:
        raise ConfigurationError(
            f"{card.name} is there already, with another {', and another '.join(differences)}.",
            remedy=f"Change {card.folder / CARD_FILE}, then gateway models render {card.name} and gateway models pull "
            f"{card.name}; or delete the folder {card.folder} and add it again; or add it a second time with --name.",
        )


def _differences(card: Card, options: AddOptions, revision: str | None) -> Iterator[str]:
    vectors = card.vectors
    graphs = {file.hub_path: file.variant for file in card.files if (file.hub_path or "").endswith(".onnx")}
    if revision is not None and card.revision is not None and revision != card.revision:
        yield f"revision: {card.revision}, not {revision}"
    if options.file is not None and options.file not in graphs:
        yield f"file: {', '.join(filter(None, graphs)) or 'a graph built here'}, not {options.file}"
    if options.variant is not None and options.variant.lower() not in graphs.values():
        yield f"variant: {', '.join(filter(None, graphs.values())) or 'the only one'}, not {options.variant}"
    if options.pooling is not None and vectors is not None and options.pooling != vectors.pooling:
        yield f"pooling: {vectors.pooling}, not {options.pooling}"
    if options.max_tokens is not None and options.max_tokens != card.tokenizer.max_tokens:
        yield f"window: {card.tokenizer.max_tokens} tokens, not {options.max_tokens}"
    if options.licence is not None and options.licence.lower() != card.licence.lower():
        yield f"licence: {card.licence}, not {options.licence}"


def _is_called(model: Model, name: str) -> bool:
    return name.lower() in (model.name.lower(), *(card.name.lower() for card in model.cards))


def _holder(registry: Registry, name: str) -> Model | None:
    """The model that answers to a name, be it with a task that rides on it."""
    try:
        return registry.find(name).models[0]
    except UnknownModel:
        return None
