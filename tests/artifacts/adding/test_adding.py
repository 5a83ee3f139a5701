"""Adding under bad conditions: killed, at the same time, onto a full name, with files that do not work."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from gateway.artifacts.adding.adding import Addition, State, add_model
from gateway.artifacts.adding.plan import AddOptions
from gateway.artifacts.adding.workspace import FOLDER
from gateway.artifacts.completeness import is_complete
from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.sources import Fetching
from gateway.cards.registry import Registry
from gateway.errors import ArtifactError
from tests.support.local_hub import LocalHub, local_hub
from tests.support.twins import generic
from tests.support.twins.publishing import publish
from tests.support.twins.twin import Twin
from tests.support.twins.variations import GRAPH, changed, external_data
from tests.support.twins.wiring import single_file

ADD = """
import sys
from pathlib import Path
from gateway.artifacts.adding.adding import add_model
from gateway.artifacts.adding.plan import AddOptions
from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.sources import Fetching
repository, models, staging, url = sys.argv[1:]
fetching = Fetching(Path(staging), hub=HubAccess(url, "none"))
add_model(repository, AddOptions(), models=Path(models), fetching=fetching)
"""


@dataclass
class World:
    hub: LocalHub
    models: Path
    staging: Path

    def add(self, twin: Twin, options: AddOptions | None = None) -> Addition:
        publish(self.hub, twin)
        fetching = Fetching(self.staging, hub=HubAccess(self.hub.url))
        return add_model(twin.repository, options or AddOptions(), models=self.models, fetching=fetching)

    def is_empty(self) -> bool:
        return list(self.models.iterdir()) == []

    def leftovers(self) -> list[Path]:
        return [path for path in (self.staging / FOLDER).rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    (tmp_path / "models").mkdir()
    with local_hub() as hub:
        yield World(hub, tmp_path / "models", tmp_path / "staging")


def weights_of(twin: Twin, value: float) -> Twin:
    """The twin with every weight of that value."""
    model = onnx.ModelProto.FromString(twin.files[GRAPH])
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1:
            array = np.full(tuple(tensor.dims), value, np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return changed(twin, "acme/broken", {GRAPH: single_file(model)})


def test_a_model_that_gives_no_vectors_is_not_added(world: World) -> None:
    with pytest.raises(ArtifactError, match="NaN"):
        world.add(weights_of(generic.mean(), float("nan")))
    assert world.is_empty()
    assert world.leftovers() == []


@pytest.mark.parametrize("path", ["onnx/model.onnx", "onnx/model.onnx_data", "tokenizer.json"])
def test_a_kill_leaves_nothing_and_the_next_run_goes_on(world: World, path: str) -> None:
    twin = external_data()
    publish(world.hub, twin)
    reached, go_on = threading.Event(), threading.Event()

    def pause(sent_path: str, _sent: int) -> None:
        if sent_path == path and not reached.is_set():
            reached.set()
            go_on.wait(60)

    world.hub.pause = pause  # type: ignore[method-assign]
    command = [sys.executable, "-c", ADD, twin.repository, str(world.models), str(world.staging), world.hub.url]
    child = subprocess.Popen(command)
    try:
        assert reached.wait(60), "the run never came that far"
    finally:
        child.kill()
        child.wait()
        go_on.set()
    assert world.is_empty()
    addition = world.add(twin)
    assert addition.state is State.ADDED
    assert is_complete(addition.cards[0])
    assert world.leftovers() == []


def test_of_two_runs_at_once_one_adds_and_the_other_finds_it_done(world: World) -> None:
    twin = generic.mean()
    publish(world.hub, twin)
    states: list[State] = []
    threads = [threading.Thread(target=lambda: states.append(world.add(twin).state)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(state.value for state in states) == ["added", "present"]
    assert len(world.hub.downloads(GRAPH)) == 1


def test_two_models_of_two_repositories_may_be_added_at_once(world: World) -> None:
    twins = [generic.mean(), generic.cls()]
    threads = [threading.Thread(target=world.add, args=(twin,)) for twin in twins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [model.name for model in Registry.from_repository(world.models).models] == ["cls-pooled", "mean-pooled"]
