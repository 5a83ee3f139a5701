"""What a worker serves, and where it finds or puts the files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.artifacts.completeness import is_complete
from gateway.cards.registry import Registry
from gateway.cli import torch_presence
from gateway.cli.runpod_models import DEFAULT_MODEL, asked_models, ready_models
from gateway.errors import ArtifactError, ConfigurationError
from gateway.settings import Settings
from tests.support.local_hub import LocalHub, local_hub
from tests.support.twin_repository import publish_twins, twin_repository

MODEL, RERANKER, FAMILY = (
    "jina-embeddings-v2-base-en",
    "jina-reranker-v2-base-multilingual",
    "jina-embeddings-v5-text-nano",
)


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with local_hub() as made:
        publish_twins(made, MODEL)
        yield made


def settings_of(**values: object) -> Settings:
    return Settings(_env_file=None, **values)  # type: ignore[call-arg, arg-type]


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        ({}, (DEFAULT_MODEL,)),
        ({"default_model": ""}, (DEFAULT_MODEL,)),
        ({"default_model": "a"}, ("a",)),
        ({"default_model": "a", "models": "b,c"}, ("b", "c")),
        ({"default_model": "a", "default_reranker": "r"}, ("a", "r")),
        ({"models": "b,r", "default_reranker": "r"}, ("b", "r")),
    ],
)
def test_which_models_are_asked_for(values: dict[str, object], asked: tuple[str, ...]) -> None:
    assert asked_models(settings_of(**values)) == asked


def test_the_default_is_a_shipped_model() -> None:
    shipped = Registry.from_repository(Path(__file__).parents[2] / "model_repository")
    assert [card.hub_id for card in shipped.cards_of(DEFAULT_MODEL)] == [DEFAULT_MODEL]


def test_a_missing_model_is_pulled_onto_the_volume_and_found_there_again(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    twin_repository(tmp_path / "model_repository", MODEL)
    volume = tmp_path / "volume"
    volume.mkdir()
    given = settings_of(default_model=MODEL, hf_endpoint=hub.url)
    settings, (card,) = ready_models(given, volume=volume)
    assert settings.model_repository.is_relative_to(volume)
    assert card.folder.is_relative_to(volume)
    assert is_complete(card)
    assert settings.models == (MODEL,)
    assert not (tmp_path / "model_repository" / MODEL / "1").exists()
    assert not (tmp_path / ".run").exists()
    asked = len(hub.requests)
    assert ready_models(given, volume=volume)[1] == (card,)
    assert len(hub.requests) == asked


def test_a_model_baked_into_the_image_is_served_from_there(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    twin_repository(tmp_path / "model_repository", MODEL)
    given = settings_of(default_model=MODEL, hf_endpoint=hub.url)
    ready_models(given, volume=tmp_path / "none")
    volume = tmp_path / "volume"
    volume.mkdir()
    settings, _ = ready_models(given, volume=volume)
    assert settings.model_repository == Path("model_repository")
    assert list(volume.iterdir()) == []


def test_a_folder_named_in_the_settings_wins_over_the_volume(hub: LocalHub, tmp_path: Path) -> None:
    repository = twin_repository(tmp_path / "mine", MODEL)
    given = settings_of(
        default_model=MODEL, hf_endpoint=hub.url, model_repository=repository, run_folder=tmp_path / "run"
    )
    volume = tmp_path / "volume"
    volume.mkdir()
    settings, (card,) = ready_models(given, volume=volume)
    assert settings.model_repository == repository
    assert is_complete(card)
    assert list(volume.iterdir()) == []


def test_of_a_family_what_is_there_is_served(tmp_path: Path) -> None:
    repository = twin_repository(tmp_path / "models", FAMILY)
    with local_hub() as hub:
        publish_twins(hub, FAMILY)
        values = {"hf_endpoint": hub.url, "model_repository": repository, "run_folder": tmp_path / "run"}
        ready_models(settings_of(default_model=f"{FAMILY}-retrieval", **values), volume=tmp_path / "none")
        asked = len(hub.requests)
        settings, cards = ready_models(settings_of(default_model=FAMILY, **values), volume=tmp_path / "none")
        assert [card.name for card in cards] == [f"{FAMILY}-retrieval"]
        assert settings.models == (f"{FAMILY}-retrieval",)
        assert len(hub.requests) == asked


def test_a_model_that_no_hub_has_is_an_artifact_error(hub: LocalHub, tmp_path: Path) -> None:
    repository = twin_repository(tmp_path / "models", RERANKER)
    given = settings_of(
        default_model=RERANKER, hf_endpoint=hub.url, model_repository=repository, run_folder=tmp_path / "run"
    )
    with pytest.raises(ArtifactError):
        ready_models(given, volume=tmp_path / "none")


def test_nothing_is_fetched_that_could_not_run_here(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_presence, "missing_packages", lambda: ("torch",))
    repository = twin_repository(tmp_path / "models", "jina-embeddings-v4")
    given = settings_of(default_model="jina-embeddings-v4", hf_endpoint=hub.url, model_repository=repository)
    with pytest.raises(ConfigurationError, match="not installed: torch") as refused:
        ready_models(given, volume=tmp_path / "none")
    assert refused.value.remedy == torch_presence.INSTALL
    assert hub.requests == []
