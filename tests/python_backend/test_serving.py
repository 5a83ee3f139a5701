"""What Triton's stub calls, with stand-ins for its own classes; tests/integration has the real stub."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from gateway.python_backend import serving
from gateway.python_backend.embedder import Embedder
from gateway.python_backend.faults import LoadError
from gateway.python_backend.serving import TritonPythonModel

TASKS = "retrieval,text-matching,code"


@dataclass
class TritonError:
    text: str


@dataclass
class StubTensor:
    label: str
    values: np.ndarray

    def name(self) -> str:
        return self.label

    def as_numpy(self) -> np.ndarray:
        return self.values


@dataclass
class InferenceResponse:
    output_tensors: list[StubTensor] = field(default_factory=list)
    error: TritonError | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        assert self.error is None
        return {tensor.label: tensor.values for tensor in self.output_tensors}


@dataclass
class StubRequest:
    tensors: dict[str, np.ndarray]
    wanted: tuple[str, ...] = ("embeddings", "row_status")

    def inputs(self) -> list[StubTensor]:
        return [StubTensor(name, values) for name, values in self.tensors.items()]

    def requested_output_names(self) -> list[str]:
        return list(self.wanted)


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    utils: Any = ModuleType("triton_python_backend_utils")
    utils.TritonError, utils.Tensor, utils.InferenceResponse = TritonError, StubTensor, InferenceResponse
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utils)
    for name in ("GATEWAY_DTYPE", "GATEWAY_GPU_MEMORY_UTILIZATION"):
        monkeypatch.delenv(name, raising=False)
    logger = logging.getLogger("gateway.python_backend")
    before = (logger.handlers[:], logger.level, logger.propagate)
    yield
    logger.handlers[:], level, logger.propagate = before
    logger.setLevel(level)


def args(folder: Path, adapters: str = TASKS, kind: str = "CPU") -> dict[str, str]:
    return {
        "model_config": json.dumps({"parameters": {"adapters": {"string_value": adapters}}}),
        "model_instance_kind": kind,
        "model_instance_device_id": "0",
        "model_name": "twin",
        "model_repository": str(folder.parent),
        "model_version": folder.name,
    }


@pytest.fixture
def model(v4_folder: Path) -> TritonPythonModel:
    model = TritonPythonModel()
    model.initialize(args(v4_folder))
    return model


def request(*ids: int, adapter: int = 0, wanted: tuple[str, ...] = ("embeddings", "row_status")) -> StubRequest:
    tensors = {"token_ids": ids, "row_lengths": [len(ids)], "row_adapters": [adapter]}
    return StubRequest({name: np.array(values, np.int32) for name, values in tensors.items()}, wanted)


def test_each_request_has_its_own_response(model: TritonPythonModel, v4_embedder: Embedder) -> None:
    first, second = model.execute([request(1, 2, 3), request(4, adapter=2, wanted=("token_vectors",))])
    assert first.arrays()["embeddings"].shape == (1, 64)
    assert first.arrays()["row_status"].tolist() == [0]
    assert {name: array.shape for name, array in second.arrays().items()} == {"token_vectors": (1, 16)}


def test_a_wrong_request_is_told_why_and_harms_no_other(model: TritonPythonModel) -> None:
    good, bad, other = model.execute([request(1, 2), request(10**6), request(1, 2)])
    assert bad.error == TritonError("token_ids has to be from 0 to 575.")
    assert bad.output_tensors == []
    np.testing.assert_array_equal(good.arrays()["embeddings"], other.arrays()["embeddings"])


def test_a_fault_of_the_models_own_is_one_requests_too(
    model: TritonPythonModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*given: object) -> None:
        raise RuntimeError("inner words")

    with monkeypatch.context() as patched:
        patched.setattr(Embedder, "compute", failing)
        (response,) = model.execute([request(1, 2)])
    assert response.error == TritonError("The model could not compute this call: RuntimeError.")
    assert model.execute([request(1, 2)])[0].error is None


def test_a_broken_device_ends_the_process(model: TritonPythonModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every further use of it would fail; the gateway has a model whose process died loaded anew."""

    class Ended(BaseException):
        pass

    def failing(*given: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def ended(code: int) -> None:
        assert code != 0
        raise Ended

    monkeypatch.setattr(Embedder, "compute", failing)
    monkeypatch.setattr(os, "_exit", ended)
    with pytest.raises(Ended):
        model.execute([request(1, 2)])


def test_ready_from_loading_to_unloading(v4_folder: Path) -> None:
    model = TritonPythonModel()
    assert not model.is_ready()
    model.initialize(args(v4_folder))
    assert model.is_ready()
    model.finalize()
    assert not model.is_ready()
    assert model.execute([request(1)])[0].error == TritonError("The model is not loaded.")
    model.finalize()


def test_what_was_loaded_is_logged(v4_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("gateway.python_backend").handlers.clear()
    model = TritonPythonModel()
    model.initialize(args(v4_folder))
    said = capsys.readouterr().err
    assert "twin loaded in" in said
    assert "cpu, torch.float32, attention by sdpa, adapters: retrieval, text-matching, code" in said
    model.execute([request(1, 2, 3)])
    assert capsys.readouterr().err == ""


def test_the_environment_is_heard(v4_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DTYPE", "bfloat16")
    model = TritonPythonModel()
    model.initialize(args(v4_folder))
    assert model._embedder is not None
    assert model._embedder.network.model.dtype == torch.bfloat16


def test_a_checkpoint_that_does_not_fit_is_a_load_error(v4_folder: Path) -> None:
    with pytest.raises(LoadError, match="the parameter adapters names code"):
        TritonPythonModel().initialize(args(v4_folder, adapters="code"))


def test_nothing_of_triton_is_needed_to_import(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not hasattr(serving, "pb_utils")
