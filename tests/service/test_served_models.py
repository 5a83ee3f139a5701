"""Names onto what is served now: families, shared names, kinds of models, defaults, and what is not there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.cards.installation import Installation, LockedFile
from gateway.cards.registry import Registry
from gateway.cards.schema import Card, ModelKind
from gateway.cards.tasks import UnknownTask
from gateway.errors import EngineUnavailable, InvalidField, UnknownModel
from gateway.service.public_model import ServedModel
from gateway.service.served_models import ServedModels
from tests.support.tiny_models import family_cards, reranker_card, tiny_card, tiny_model
from tests.support.twin_repository import SHIPPED


def served(registry: Registry, *names: str, **options: Any) -> ServedModels:
    models = ServedModels(registry, **{"default_model": None, **options})
    put(models, registry, *names)
    return models


def put(models: ServedModels, registry: Registry, *names: str, installation: Installation | None = None) -> None:
    nothing = cast(Any, None)
    for card in registry.cards:
        if card.name in names:
            installed = installation or Installation()
            models.put(ServedModel(card, reader=nothing, scheduler=nothing, shared=nothing, installation=installed))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    shared = {"acme/any": "retrieval.passage"}
    return Registry(
        [
            tiny_model(tiny_card(tmp_path, "plain")),
            tiny_model(reranker_card(tmp_path)),
            replace(tiny_model(*family_cards(tmp_path, "nano")), shared_aliases=shared),
            replace(tiny_model(*family_cards(tmp_path, "small")), shared_aliases=shared),
        ]
    )


NANO = ("nano-retrieval", "nano-text-matching", "nano-clustering")
SMALL = ("small-retrieval", "small-text-matching", "small-clustering")


def member_names(models: ServedModels, name: str) -> Sequence[str]:
    return list(models.find(name).members)


def test_a_family_is_served_when_any_member_is(registry: Registry) -> None:
    models = served(registry, "nano-clustering")
    assert models.find("NANO").name == "nano"
    assert member_names(models, "acme/nano") == ["nano-clustering"]
    with pytest.raises(UnknownModel, match="gateway models pull small") as caught:
        models.find("small")
    # It may be installed, and left out by whoever started the gateway.
    assert "GATEWAY_MODELS" in caught.value.message


def test_members_that_come_and_go_are_seen_at_once(registry: Registry) -> None:
    models = served(registry, "nano-clustering")
    assert member_names(models, "nano") == ["nano-clustering"]
    put(models, registry, "nano-retrieval")
    assert member_names(models, "nano") == ["nano-retrieval", "nano-clustering"]
    models.remove("nano-clustering")
    assert member_names(models, "nano") == ["nano-retrieval"]
    models.remove("nano-retrieval")
    put(models, registry, "plain")
    with pytest.raises(UnknownModel):
        models.find("nano")


def test_the_first_model_that_is_served_takes_a_shared_name(registry: Registry) -> None:
    assert served(registry, *NANO, *SMALL).find("ACME/Any").name == "nano"
    found = served(registry, *SMALL).find("acme/any")
    assert (found.name, found.default_task) == ("small", "retrieval.passage")
    with pytest.raises(UnknownModel, match="gateway models pull nano"):
        served(registry, "plain").find("acme/any")


def test_a_shared_name_leaves_the_side_to_the_text(registry: Registry) -> None:
    choice = served(registry, *NANO).find("acme/any").choose_task(task=None, side=None)
    assert choice.task is not None
    assert (choice.task.name, choice.is_open) == ("retrieval.passage", True)


def test_a_model_of_the_other_kind_is_refused_with_the_right_path(registry: Registry) -> None:
    models = served(registry, "plain", "reranker")
    with pytest.raises(InvalidField, match="POST /v1/rerank") as refused:
        models.find("reranker")
    assert (refused.value.param, refused.value.code) == ("model", "wrong_model_kind")
    with pytest.raises(InvalidField, match="POST /v1/embeddings"):
        models.find("plain", ModelKind.RERANKER)
    with pytest.raises(InvalidField, match="POST /v1/embeddings"):
        models.find("nano", ModelKind.RERANKER)
    assert models.find("reranker", ModelKind.RERANKER).name == "reranker"


def test_a_model_that_is_not_loaded_is_told_with_all_that_it_may_lack() -> None:
    models = served(Registry.from_repository(SHIPPED), "all-MiniLM-L6-v2")
    for name, torch in (("jina-embeddings-v3", False), ("jina-embeddings-v4", True)):
        with pytest.raises(UnknownModel, match=f"gateway models pull {name}") as refused:
            models.find(name)
        assert ("scripts/install_torch.sh" in refused.value.message) is torch


def test_a_request_without_a_model_means_the_default_or_the_only_one_of_its_kind(registry: Registry) -> None:
    models = served(registry, "plain", "reranker", *NANO[:1])
    assert models.find(None, ModelKind.RERANKER).name == "reranker"
    with pytest.raises(InvalidField, match=r"Served: nano, plain\. Known, .*: small") as refused:
        models.find(None)
    assert refused.value.code == "model_required"
    assert served(registry, "plain", *NANO, default_model="acme/NANO").find(None).name == "nano"
    assert served(registry, "nano-retrieval", default_model="nano-retrieval").find(None).default_task is not None
    assert served(registry, "reranker", default_reranker="reranker").find(None, ModelKind.RERANKER).name == "reranker"
    with pytest.raises(UnknownModel, match=r"^No reranker is served\. Known, but not loaded: reranker"):
        served(registry, "plain").find(None, ModelKind.RERANKER)
    with pytest.raises(EngineUnavailable):
        served(registry).find(None)


def test_the_listing_says_what_is_loaded_and_installed(registry: Registry) -> None:
    models = served(registry, "plain", "nano-retrieval", "reranker")
    put(models, registry, "nano-clustering", installation=Installation(variant="quantized", batch_invariant=False))
    nano, plain, reranker = models.list()
    assert [one.model.name for one in (nano, plain, reranker)] == ["nano", "plain", "reranker"]
    assert nano.tasks == ("retrieval.query", "retrieval.passage", "clustering")
    assert (nano.variant, nano.batch_invariant) == ("quantized", False)
    assert (plain.tasks, plain.variant, plain.batch_invariant) == ((), None, True)
    assert models.resolve("acme/any") == nano
    assert models.resolve("reranker") == reranker
    with pytest.raises(UnknownModel):
        models.resolve("small")


def test_who_fetches_missing_models_is_told_which_card_and_words_the_answer(registry: Registry) -> None:
    told: list[str] = []

    def on_missing(card: Card) -> EngineUnavailable | None:
        told.append(card.name)
        return None if card.name == "plain" else EngineUnavailable(f"{card.name} is being downloaded.")

    models = served(registry, on_missing=on_missing)
    with pytest.raises(EngineUnavailable, match="nano-text-matching is being downloaded"):
        models.find("nano")
    with pytest.raises(EngineUnavailable, match="nano-retrieval is being downloaded"):
        models.find("acme/nano-retrieval")
    with pytest.raises(EngineUnavailable, match="nano-clustering is being downloaded"):
        models.find("nano", task="separation")
    with pytest.raises(UnknownTask):
        models.find("nano", task="nonsense")
    with pytest.raises(EngineUnavailable, match="is not served yet"):
        models.find("plain")
    with pytest.raises(EngineUnavailable, match="is not served yet"):
        models.resolve("nano")
    put(models, registry, "nano-retrieval")
    found = models.find("nano")
    with pytest.raises(EngineUnavailable, match="nano-clustering is being downloaded"):
        found.member_for(found.choose_task(task="clustering", side=None).task)
    assert told == ["nano-text-matching", "nano-retrieval", "nano-clustering", "plain", "nano-clustering"]
    with pytest.raises(UnknownModel):
        models.find("nonsense")


def test_a_preferred_task_says_which_member_is_needed_where_nothing_else_does(registry: Registry) -> None:
    def on_missing(card: Card) -> EngineUnavailable:
        return EngineUnavailable(f"{card.name} is needed.")

    models = served(registry, on_missing=on_missing)
    with pytest.raises(EngineUnavailable, match="nano-clustering is needed"):
        models.find("nano", preferred="clustering")
    with pytest.raises(EngineUnavailable, match="nano-retrieval is needed"):
        models.find("nano", task="retrieval.query", preferred="clustering")
    with pytest.raises(EngineUnavailable, match="nano-text-matching is needed"):
        models.find("nano", preferred="a task that it has not")
    with pytest.raises(EngineUnavailable, match="plain is needed"):
        models.find("plain", preferred="clustering")


def test_names_in_many_spellings_do_not_add_up(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.service.served_models._REMEMBERED_NAMES", 4)
    models = served(registry, "plain")
    for spelling in ("plain", "Plain", "PLAIN", "pLAIN", "plaiN", "plAin"):
        found = models.find(spelling)
        assert found.name == "plain"
        assert models.find(spelling) is found
    assert len(models._found) <= 4


def test_the_operators_names_are_listed_with_the_model_that_answers_to_them(registry: Registry) -> None:
    aliases = {"mine": "plain", "any": "acme/any", "groups": "nano:clustering"}
    models = served(Registry(registry.models, aliases=aliases), "plain", "small-retrieval")
    listed = {listing.model.name: dict(listing.configured_aliases) for listing in models.list()}
    assert listed == {"plain": {"mine": None}, "small": {"any": "retrieval.passage"}}
    assert models.find("mine").name == "plain"


def test_a_word_by_default_yields_to_the_name(registry: Registry) -> None:
    models = served(registry, *NANO)
    assert models.find("nano").task_by_default("clustering") == "clustering"
    assert models.find("nano").task_by_default("summaries") is None
    assert models.find("nano").task_by_default(None) is None
    assert models.find("nano:query").task_by_default("clustering") is None
    assert models.find("acme/any").task_by_default("clustering") is None


def test_what_is_installed_is_listed_by_size_and_digest(registry: Registry) -> None:
    def file(path: str, size: int) -> LockedFile:
        return LockedFile(path, size, path * 2, "hub", "main", "2026-01-01T00:00:00Z")

    models = ServedModels(registry, default_model=None)
    put(models, registry, "nano-retrieval", installation=Installation({"a": file("a", 3)}, verified_at="2026-01-02"))
    put(models, registry, "nano-clustering", installation=Installation({"b": file("b", 4)}, verified_at="2026-01-03"))
    listing = models.resolve("nano")
    assert (listing.size_bytes, listing.installed_at) == (7, "2026-01-03")
    assert listing.digest == hashlib.sha256(b"aa\nbb").hexdigest()
    assert served(registry, "plain").resolve("plain").digest == ""
