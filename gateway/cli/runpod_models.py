"""Which models a RunPod worker serves, and their files: baked into the image, on a network volume, or pulled now."""

from __future__ import annotations

from pathlib import Path

from gateway.artifacts.completeness import is_complete
from gateway.cards.registry import Registry
from gateway.cards.schema import Card
from gateway.cli.named_models import cards_named
from gateway.cli.postponed_stops import postponed_stops
from gateway.cli.torch_presence import refuse_what_cannot_run
from gateway.cli.up import complete_cards
from gateway.runpod.volume import VOLUME, downloads_on, is_usable, repository_on
from gateway.settings import Settings

DEFAULT_MODEL = "jinaai/jina-embeddings-v4-vllm-retrieval"


def ready_models(settings: Settings, *, volume: Path = VOLUME) -> tuple[Settings, tuple[Card, ...]]:
    """The cards to load, whose files are all there, and the settings with the repository that has them.

    A worker starts empty, so what is missing is pulled, with progress on standard error. Raises `ConfigurationError`
    for an unknown model, `ArtifactError` where its files cannot be had.
    """
    settings = settings.model_copy(update={"models": asked_models(settings), "auto_pull": False})
    downloads = settings
    if _missing(settings) and "model_repository" not in settings.model_fields_set and is_usable(volume):
        on_volume = repository_on(volume, shipped=settings.model_repository)
        settings = settings.model_copy(update={"model_repository": on_volume})
        downloads = settings.model_copy(update={"run_folder": downloads_on(volume)})
    for card in _missing(settings):
        refuse_what_cannot_run(card)  # before gigabytes are fetched
        # Here: a worker that has its models starts without what pulling needs, and does not hold it for its life.
        with postponed_stops():
            from gateway.cli.runpod_pulling import pull_to_serve

        pull_to_serve(card, downloads)
    cards = complete_cards(settings)
    return settings.model_copy(update={"models": tuple(card.name for card in cards)}), cards


def asked_models(settings: Settings) -> tuple[str, ...]:
    """GATEWAY_MODELS, else MODEL_NAME, else the one that such workers have always served; and the reranker named."""
    named = settings.models or (settings.default_model or DEFAULT_MODEL,)
    reranker = (settings.default_reranker,) if settings.default_reranker else ()
    return tuple(dict.fromkeys((*named, *reranker)))


def _missing(settings: Settings) -> list[Card]:
    """The cards to pull: all of a model of which nothing is complete; of a family a part of it will do."""
    registry = Registry.from_repository(settings.model_repository)
    asked = [cards_named(registry, name) for name in settings.models]
    return [card for cards in asked if not any(map(is_complete, cards)) for card in cards]
