"""Vectors and windows of added models against those that sentence-transformers itself gives for the same repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gateway.artifacts.adding.adding import add_model
from gateway.artifacts.adding.plan import AddOptions
from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.inference import GraphRun, padded
from gateway.artifacts.measuring import load_tokenizer
from gateway.artifacts.onnx_inspection import graph_path
from gateway.artifacts.sources import Fetching
from gateway.cards.schema import Card
from gateway.cards.tasks import choose_task, task_of_text
from gateway.types import OwnPrefixes
from tests.support.local_hub import LocalHub, local_hub
from tests.support.twins.publishing import publish
from tests.support.twins.twin import Twin
from tests.support.twins.variations import from_weights

TWINS = {twin.repository.partition("/")[2]: twin for twin in from_weights()}

with np.load(Path(__file__).parents[2] / "golden" / "sentence_transformers_reference.npz") as _reference:
    REFERENCE = dict(_reference)
TEXTS: list[str] = REFERENCE["texts"].tolist()


@pytest.fixture(scope="module")
def hub() -> Iterator[LocalHub]:
    with local_hub() as hub:
        yield hub


def added(twin: Twin, hub: LocalHub, folder: Path) -> Card:
    publish(hub, twin)
    (folder / "models").mkdir()
    fetching = Fetching(folder / "staging", hub=HubAccess(hub.url))
    return add_model(twin.repository, AddOptions(), models=folder / "models", fetching=fetching).cards[0]


@pytest.mark.parametrize("name", TWINS)
def test_an_added_model_gives_the_same_vectors(name: str, hub: LocalHub, tmp_path: Path) -> None:
    card = added(TWINS[name], hub, tmp_path)
    assert card.tokenizer.max_tokens == REFERENCE[f"acme/{name}/window"]
    choice = choose_task(card.tasks, task=None, role=None)
    prefixes = [task_of_text(card.tasks, choice, text, own_prefixes=OwnPrefixes.ROLE).prefix for text in TEXTS]
    texts = [prefix + text for prefix, text in zip(prefixes, TEXTS, strict=True)]
    rows = [one.ids for one in load_tokenizer(card).encode(texts)]
    vectors = GraphRun(card, graph_path(card)).results(padded(rows, pad_id=card.tokenizer.pad_id))
    np.testing.assert_allclose(vectors, REFERENCE[f"acme/{name}/vectors"], rtol=0, atol=1e-5)
