"""How our backend reads a config, without a server: the file is loaded here with Triton's own module left empty."""

from __future__ import annotations

import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.triton.embedded import supervisor
from gateway.triton.embedded.backend_directory import OUR_BACKENDS

CORES = len(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def backend() -> Iterator[ModuleType]:
    sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
    spec = importlib.util.spec_from_file_location("onnxruntime_backend", OUR_BACKENDS / "onnxruntime" / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["triton_python_backend_utils"]


def config(**values: str) -> dict[str, Any]:
    return {"parameters": {name: {"string_value": text} for name, text in values.items()}}


def test_without_parameters_onnxruntimes_own_defaults_hold_except_threads_and_spinning(backend: ModuleType) -> None:
    options, plain = backend.options_for({}), ort.SessionOptions()
    assert options.intra_op_num_threads == CORES
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    for name in (
        "inter_op_num_threads",
        "execution_mode",
        "enable_cpu_mem_arena",
        "enable_mem_pattern",
        "graph_optimization_level",
    ):
        assert getattr(options, name) == getattr(plain, name), name


def test_parameters_of_the_c_plus_plus_backend_are_read(backend: ModuleType) -> None:
    options = backend.options_for(
        config(
            intra_op_thread_count="3",
            inter_op_thread_count="2",
            execution_mode="1",
            enable_mem_arena="0",
            enable_mem_pattern="0",
            **{"session.use_device_allocator_for_initializers": "1", "session.intra_op.allow_spinning": "1"},
        )
    )
    assert options.intra_op_num_threads == 3
    assert options.inter_op_num_threads == 2
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert options.enable_cpu_mem_arena is False
    assert options.enable_mem_pattern is False
    assert options.get_session_config_entry("session.use_device_allocator_for_initializers") == "1"
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"


def test_arena_shrinkage_goes_to_every_run(backend: ModuleType) -> None:
    name = "memory.enable_memory_arena_shrinkage"
    assert backend.run_options_for(config(**{name: "cpu:0"})).get_run_config_entry(name) == "cpu:0"


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (None, "ORT_ENABLE_ALL"),
        (0, "ORT_ENABLE_ALL"),
        (-1, "ORT_ENABLE_BASIC"),
        (1, "ORT_ENABLE_EXTENDED"),
        (2, "ORT_DISABLE_ALL"),
    ],
)
def test_graph_level_counts_as_in_the_c_plus_plus_backend(
    backend: ModuleType, level: int | None, expected: str
) -> None:
    optimization = {} if level is None else {"optimization": {"graph": {"level": level}}}
    assert backend.options_for(optimization).graph_optimization_level == getattr(ort.GraphOptimizationLevel, expected)


@pytest.mark.parametrize(("counts", "share"), [([1], CORES), ([2], max(1, CORES // 2)), ([1, 1], max(1, CORES // 2))])
def test_instances_share_the_cores(backend: ModuleType, counts: list[int], share: int) -> None:
    groups = {"instance_group": [{"count": count} for count in counts]}
    assert backend.options_for(groups).intra_op_num_threads == share
    assert backend.options_for({**groups, **config(intra_op_thread_count="0")}).intra_op_num_threads == share


@pytest.mark.parametrize("text", ["", "two", "1.5"])
def test_a_parameter_that_is_no_number_is_an_error_naming_it(backend: ModuleType, text: str) -> None:
    with pytest.raises(backend.ConfigError, match="intra_op_thread_count"):
        backend.options_for(config(intra_op_thread_count=text))


@given(
    folder=st.lists(st.text("abcdefgXYZ0123456789_.-", min_size=1, max_size=12), min_size=1, max_size=6),
    before=st.sampled_from(["", "Load model from ", "error: ", "'", '"', "("]),
    after=st.sampled_from(["", " failed", "' failed", ":12 failed", ", next", ")"]),
)
def test_paths_are_scrubbed_wherever_they_stand(
    backend: ModuleType, folder: list[str], before: str, after: str
) -> None:
    path = "/" + "/".join(folder)
    text = backend.scrub(RuntimeError(f"{before}{path}{after}"))
    assert path not in text
    assert "(path)" in text


@given(value=st.integers(-(2**63), 2**63 - 1))
def test_element_values_are_scrubbed(backend: ModuleType, value: int) -> None:
    text = backend.scrub(RuntimeError(f"indices element out of data bounds, idx={value} must be within [-10,9]"))
    assert text == "indices element out of data bounds, idx=(hidden) must be within [-10,9]"


def test_numpy_2_is_refused_with_the_mark_the_supervisor_looks_for(
    backend: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert backend.ENVIRONMENT_MARK == supervisor.ENVIRONMENT_MARK
    backend.check_environment()
    monkeypatch.setattr(backend.np, "__version__", "2.1.0")
    with pytest.raises(backend.ConfigError, match=f"{supervisor.ENVIRONMENT_MARK}.*NumPy 2.*2.1.0"):
        backend.check_environment()


def test_another_environment_is_refused(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_STUB_PREFIX", sys.prefix)
    backend.check_environment()
    monkeypatch.setenv("GATEWAY_STUB_PREFIX", "/nowhere")
    with pytest.raises(backend.ConfigError, match=supervisor.ENVIRONMENT_MARK):
        backend.check_environment()
