"""Models of Triton's Python backend in the real server: what reaches them, and what a call may leave out."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import np_to_triton_dtype

import gateway
from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.python_models import POOL_BYTES, PythonModelSettings, usable_cores
from gateway.triton.embedded.supervisor import EmbeddedTriton
from tests.conftest import need
from tests.support import graphs, python_models

IDS = np.arange(5, dtype=np.int32)


@dataclass(frozen=True)
class Served:
    client: InferenceServerClient
    log: Path

    def infer(self, *outputs: str, model: str = "program", **inputs: np.ndarray) -> list[np.ndarray]:
        tensors = []
        for name, array in inputs.items():
            tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(array)
            tensors.append(tensor)
        result = self.client.infer(model, tensors, outputs=[InferRequestedOutput(name) for name in outputs])
        return [result.as_numpy(name) for name in outputs]

    def said(self, model: str = "program") -> dict[str, Any]:
        (text,) = self.infer("said", model=model, token_ids=IDS)[0]
        return dict(json.loads(text))


@pytest.fixture(scope="module")
def served(tritonserver: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    need(None if has_torch() else "torch is not installed: scripts/install_torch.sh")
    repository = tmp_path_factory.mktemp("repository")
    python_models.write_model(repository, "program")
    python_models.write_model(repository, "with-torch", with_torch=True)
    graphs.write_model(repository, "dense", graphs.dense())
    triton = EmbeddedTriton(
        repository=repository,
        run_folder=tmp_path_factory.mktemp("run"),
        ports=Ports(*pick_free(3)),
        python_models=PythonModelSettings(dtype="float32", gpu_memory_utilization=0.5),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", "planted-token")
        patch.setenv("GATEWAY_API_KEYS", "planted-key")
        with BackgroundTriton(triton) as background:
            report = background.start(["program", "with-torch", "dense"])
            assert report.failed == {}
            client = InferenceServerClient(report.endpoints.grpc)
            yield Served(client, triton.log)
            client.close()


def has_torch() -> bool:
    try:
        return bool(importlib.metadata.version("torch"))
    except importlib.metadata.PackageNotFoundError:
        return False


def test_it_runs_in_this_environment_with_torch_and_the_gateway(served: Served) -> None:
    said = served.said("with-torch")
    assert said["prefix"] == sys.prefix
    assert Path(said["gateway"]) == Path(gateway.__file__)
    assert said["torch"].startswith(importlib.metadata.version("torch"))
    assert said["threads"] == usable_cores()
    (sums,) = served.infer("sums", model="with-torch", token_ids=IDS, pixels=np.full(1000, 255, np.uint8))
    assert sums.tolist() == [10, 255_000]


def test_its_environment_holds_its_settings_and_nothing_secret(served: Served) -> None:
    environment = served.said()["environment"]
    assert {name for name in environment if name.startswith("GATEWAY_")} == {
        "GATEWAY_DTYPE",
        "GATEWAY_GPU_MEMORY_UTILIZATION",
        "GATEWAY_STUB_PREFIX",
        "GATEWAY_USABLE_CORES",
    }
    assert environment["GATEWAY_DTYPE"] == "float32"
    assert environment["GATEWAY_GPU_MEMORY_UTILIZATION"] == "0.5"
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert not any("planted" in value for value in environment.values())


def test_models_of_the_other_backend_are_served_beside_it(served: Served) -> None:
    (y,) = served.infer("y", model="dense", x=np.ones((2, 64), np.float32))
    assert y.shape == (2, 48)


@pytest.mark.parametrize(
    ("inputs", "rows"),
    [
        ({}, [5, -1, -1]),
        ({"pixels": np.zeros(6, np.uint8)}, [5, 6, -1]),
        ({"pixels": np.zeros(0, np.uint8)}, [5, 0, -1]),
        ({"image_sizes": np.zeros((0, 2), np.int32)}, [5, -1, 0]),
        ({"image_sizes": np.zeros((3, 2), np.int32), "pixels": np.zeros(0, np.uint8)}, [5, 0, 3]),
    ],
    ids=["left out", "one given", "empty", "no rows", "both"],
)
def test_optional_inputs_may_be_left_out_and_any_may_be_empty(
    served: Served, inputs: dict[str, np.ndarray], rows: list[int]
) -> None:
    assert served.infer("rows", token_ids=IDS, **inputs)[0].tolist() == rows
    assert served.infer("rows", token_ids=np.zeros(0, np.int32), **inputs)[0].tolist() == [0, *rows[1:]]


def test_an_input_of_one_call_does_not_stay_for_the_next(served: Served) -> None:
    served.infer("rows", token_ids=IDS, pixels=np.ones(100, np.uint8))
    rows, sums = served.infer("rows", "sums", token_ids=IDS)
    assert rows.tolist() == [5, -1, -1]
    assert sums.tolist() == [10, 0]


def test_bytes_of_images_arrive_unchanged_beyond_the_pools_first_size(served: Served) -> None:
    """Twice, and the second time more: the pool has to grow, and the first call's room has to be free again."""
    for size in (20_000_000, POOL_BYTES + 1_000_000):
        pixels = np.arange(size, dtype=np.uint32).astype(np.uint8)
        (sums,) = served.infer("sums", token_ids=IDS, pixels=pixels)
        assert sums[1] == np.float32(pixels.sum(dtype=np.int64))


def test_time_and_room_for_large_models_are_on_the_command_line(served: Served) -> None:
    log = served.log.read_text()
    assert "shm-default-byte-size" in log
    assert "stub-timeout-seconds" in log
