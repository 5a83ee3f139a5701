"""The shipped cards over the tiny twins: a model repository like the project's own, small enough to run in tests.

A card is patched, not rewritten: what the twin has other sizes for changes, the rest (tasks, prompts, adapters, roles,
files, aliases) is the card that users get.
"""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import tomli_w

from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.pulling import pull
from gateway.artifacts.sources import Fetching, SourceChoice
from gateway.cards.loading import CARD_FILE
from gateway.cards.registry import Registry
from gateway.cards.rendering import config_path, render_config
from gateway.cards.schema import VERSION_FOLDER, Card
from tests.support.local_hub import LocalHub, local_hub
from tests.support.twins import publishing, reranker_v2, v2_base_en, v3, v4, v4_weights, v5_nano, v5_small, v5_text
from tests.support.twins.twin import Twin

SHIPPED = Path(__file__).parents[2] / "model_repository"

Table = dict[str, Any]

# By the repository that a card's files come from.
BUILDERS: Mapping[str, Callable[[], Twin]] = {
    v2_base_en.REPOSITORY: v2_base_en.build,
    v3.REPOSITORY: v3.build,
    reranker_v2.REPOSITORY: reranker_v2.build,
    v4.REPOSITORY: v4.build,
    **{v4.merged_repository(task): partial(v4.build_merged, task) for task in v4_weights.TASKS},
    **{f"jinaai/jina-embeddings-v5-text-nano-{task}": partial(v5_nano.build, task) for task in v5_text.TASKS},
    **{f"jinaai/jina-embeddings-v5-text-small-{task}": partial(v5_small.build, task) for task in v5_text.TASKS},
}


def twin_names() -> tuple[str, ...]:
    """The public names of the shipped models that have twins and are graphs. Those of the Python backend need torch, so
    they are had by name alone."""
    models = Registry.from_repository(SHIPPED).models
    return tuple(model.name for model in models if all(_is_twin_graph(card) for card in model.cards))


def twin_repository(
    folder: Path, *names: str, max_tokens: int | None = None, overlap_tokens: int | None = None
) -> Path:
    """Write the cards and configs of the named models, all that have twins where none is named, and no weights.

    `max_tokens` and `overlap_tokens` make a window shorter than the twin's own, for tests of texts that exceed it.
    Returns `folder`, which may exist.
    """
    for name in names or twin_names():
        document = tomllib.loads((SHIPPED / name / CARD_FILE).read_text(encoding="utf-8"))
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        patched = _patched(document, max_tokens=max_tokens, overlap_tokens=overlap_tokens)
        (own / CARD_FILE).write_text(tomli_w.dumps(patched), encoding="utf-8")
    for card in Registry.from_repository(folder).cards:
        card.folder.mkdir(exist_ok=True)
        config_path(card).write_text(render_config(card), encoding="utf-8")
        _copy_code(card)
    return folder


def _is_twin_graph(card: Card) -> bool:
    return card.repository in BUILDERS and card.triton.backend == "onnxruntime"


def _copy_code(card: Card) -> None:
    """What Triton's Python backend loads is part of this project, and nothing that is pulled."""
    shipped = SHIPPED / card.name / VERSION_FOLDER / "model.py"
    if shipped.is_file():
        own = card.path_of(f"{VERSION_FOLDER}/model.py")
        own.parent.mkdir(exist_ok=True)
        shutil.copyfile(shipped, own)


def pull_twins(folder: Path, *names: str, staging: Path, variant: str | None = None) -> None:
    """Pull every card in `folder`, those of the named models, from a hub on loopback, as `gateway models pull` does."""
    with local_hub() as hub:
        publish_twins(hub, *names)
        fetching = Fetching(staging=staging, choice=SourceChoice.HUB, hub=HubAccess(endpoint=hub.url))
        for card in Registry.from_repository(folder).cards:
            pull(card, fetching, variant=variant)


def publish_twins(hub: LocalHub, *names: str) -> None:
    """Put the files of the named models' twins, of all where none is named, onto the hub."""
    for name in names or twin_names():
        for twin in twins_of(name):
            publishing.publish(hub, twin)


def twins_of(name: str) -> tuple[Twin, ...]:
    """The twins of a shipped model, one for each of its cards, in their order."""
    document = tomllib.loads((SHIPPED / name / CARD_FILE).read_text(encoding="utf-8"))
    return tuple(_twin(part) for part in document.get("members", [document]))


def _twin(part: Table) -> Twin:
    """The twin of a member's table, or of a whole card's."""
    return BUILDERS[part.get("repository", part["hub_id"])]()


def _patched(document: Table, *, max_tokens: int | None, overlap_tokens: int | None) -> Table:
    parts = document.get("members", [document])
    twins = [_twin(part) for part in parts]
    twin = twins[0]
    document["tokenizer"]["pad_id"] = twin.pad_id
    document["tokenizer"]["max_tokens"] = max_tokens or min(document["tokenizer"]["max_tokens"], twin.max_tokens)
    if "vectors" in document:
        _patch_vectors(document, twin)
    _patch_window(document, overlap_tokens)
    # A known value of the full model says nothing about its twin; the pull measures one.
    document["canary"].pop("expected", None)
    for part, own in zip(parts, twins, strict=True):
        if "revision" in part:
            part["revision"] = LocalHub.revision
        # A member without a list of its own has the card's, which pins nothing: it is of several repositories.
        for file in part.get("files", ()):
            _patch_file(file, own)
    return document


def _patch_window(document: Table, overlap_tokens: int | None) -> None:
    """Fit what is counted in tokens into the window: what a query may take, and what windows or pieces share."""
    window = document["tokenizer"]["max_tokens"]
    if "reranking" in document:
        document["reranking"]["max_query_tokens"] = min(document["reranking"]["max_query_tokens"], window // 2)
    spec = document["reranking" if "reranking" in document else "vectors"]
    if overlap_tokens is not None:
        spec["overlap_tokens"] = overlap_tokens
    elif "overlap_tokens" in spec:
        spec["overlap_tokens"] = min(spec["overlap_tokens"], window // 4)


def _patch_vectors(document: Table, twin: Twin) -> None:
    vectors = document["vectors"]
    sizes = {vectors["dimensions"]: twin.dimensions}
    if "token_dimensions" in vectors:
        sizes[vectors["token_dimensions"]] = twin.token_dimensions
        vectors["token_dimensions"] = twin.token_dimensions
    for output in document["triton"]["outputs"]:
        output["dims"] = [sizes.get(size, size) for size in output["dims"]]
    vectors["dimensions"] = twin.dimensions
    if "matryoshka" in vectors:
        vectors["matryoshka"] = list(twin.matryoshka)


def _patch_file(file: Table, twin: Twin) -> None:
    """What the card pins is pinned to the twin's bytes, what it leaves open stays open."""
    if "hub_path" not in file:
        return
    data = twin.files[file["hub_path"]]
    if "size_bytes" in file:
        file["size_bytes"] = len(data)
    if "sha256" in file:
        file["sha256"] = hashlib.sha256(data).hexdigest()
