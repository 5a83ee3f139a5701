"""What Triton and the environment say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.python_backend.faults import LoadError
from gateway.python_backend.options import DEFAULT_MAX_FORWARD_TOKENS, ServingOptions, read_options


def args(kind: str = "CPU", device: str = "0", **parameters: str) -> dict[str, str]:
    entries = {name: {"string_value": text} for name, text in parameters.items()}
    return {
        "model_config": json.dumps({"parameters": entries}),
        "model_repository": "/models/some",
        "model_version": "3",
        "model_instance_kind": kind,
        "model_instance_device_id": device,
    }


def test_a_config_without_parameters() -> None:
    assert read_options(args(), {}) == ServingOptions(folder=Path("/models/some/3"))
    assert read_options(args() | {"model_config": "{}"}, {}).max_forward_tokens == DEFAULT_MAX_FORWARD_TOKENS


@pytest.mark.parametrize(("kind", "on_gpu"), [("GPU", True), ("CPU", False), ("KIND_GPU", True), ("KIND_CPU", False)])
def test_triton_says_which_device(kind: str, on_gpu: bool) -> None:
    options = read_options(args(kind, "1"), {})
    assert (options.on_gpu, options.gpu) == (on_gpu, 1)


def test_parameters() -> None:
    options = read_options(
        args(adapters=" a , b,", dtype="float16", gpu_memory_utilization="0.5", max_forward_tokens="77"), {}
    )
    assert options.adapters == ("a", "b")
    assert (options.dtype, options.gpu_memory_utilization, options.max_forward_tokens) == ("float16", 0.5, 77)


def test_the_environment_comes_before_the_parameters() -> None:
    environment = {"GATEWAY_DTYPE": "float32", "GATEWAY_GPU_MEMORY_UTILIZATION": "0.25"}
    options = read_options(args(dtype="float16", gpu_memory_utilization="0.5"), environment)
    assert (options.dtype, options.gpu_memory_utilization) == ("float32", 0.25)


def test_an_empty_variable_says_nothing() -> None:
    assert read_options(args(dtype="float16"), {"GATEWAY_DTYPE": " "}).dtype == "float16"
    assert read_options(args(dtype="auto"), {}).dtype is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dtype", "int8"),
        ("gpu_memory_utilization", "0"),
        ("gpu_memory_utilization", "1.1"),
        ("gpu_memory_utilization", "nan"),
        ("gpu_memory_utilization", "most"),
        ("max_forward_tokens", "0"),
        ("max_forward_tokens", "-5"),
        ("max_forward_tokens", "many"),
    ],
)
def test_a_value_that_cannot_be_meant_is_named(name: str, text: str) -> None:
    with pytest.raises(LoadError, match=name):
        read_options(args(**{name: text}), {})
