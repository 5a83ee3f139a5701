"""How our backend reads a config, without a server: its modules are loaded as Triton's stub loads them."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.triton.embedded import supervisor
from gateway.triton.embedded.backend_directory import OUR_BACKENDS
from tests.support import graphs

CORES = len(os.sched_getaffinity(0))


MODULES = ("errors", "lanes", "model_config", "ort_execution", "signatures")


@pytest.fixture(scope="module")
def backend() -> Iterator[SimpleNamespace]:
    folder = str(OUR_BACKENDS / "onnxruntime")
    sys.path.append(folder)
    yield SimpleNamespace(**{name: importlib.import_module(f"onnxruntime_backend.{name}") for name in MODULES})
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def ort_execution(backend: SimpleNamespace) -> ModuleType:
    module: ModuleType = backend.ort_execution
    return module


def config(**values: str) -> dict[str, Any]:
    return {"parameters": {name: {"string_value": text} for name, text in values.items()}}


def test_without_parameters_onnxruntimes_own_defaults_hold_except_spinning_and_patterns(
    ort_execution: ModuleType,
) -> None:
    options, plain = ort_execution.options_for({}, threads=5), ort.SessionOptions()
    assert options.intra_op_num_threads == 5
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.enable_mem_pattern is False
    for name in (
        "inter_op_num_threads",
        "execution_mode",
        "enable_cpu_mem_arena",
        "graph_optimization_level",
    ):
        assert getattr(options, name) == getattr(plain, name), name


def test_parameters_of_the_c_plus_plus_backend_are_read(ort_execution: ModuleType) -> None:
    options = ort_execution.options_for(
        config(
            inter_op_thread_count="2",
            execution_mode="1",
            enable_mem_arena="0",
            enable_mem_pattern="1",
            **{"session.use_device_allocator_for_initializers": "1", "session.intra_op.allow_spinning": "1"},
        ),
        threads=1,
    )
    assert options.inter_op_num_threads == 2
    assert options.execution_mode == ort.ExecutionMode.ORT_PARALLEL
    assert options.enable_cpu_mem_arena is False
    assert options.enable_mem_pattern is True
    assert options.get_session_config_entry("session.use_device_allocator_for_initializers") == "1"
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"


def test_threads_of_a_lone_call_spin_briefly_and_only_while_it_runs(ort_execution: ModuleType) -> None:
    entries = ort_execution.SESSION_ENTRIES | ort_execution.LONE_ENTRIES
    options = ort_execution.options_for({}, threads=2, entries=entries)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    assert 0 < int(options.get_session_config_entry("session.intra_op.spin_duration_us")) <= 100


def test_a_config_says_how_a_lone_calls_threads_wait(ort_execution: ModuleType) -> None:
    entries = ort_execution.SESSION_ENTRIES | ort_execution.LONE_ENTRIES
    stated = config(**{"session.intra_op.allow_spinning": "0", "session.intra_op.spin_duration_us": "7"})
    options = ort_execution.options_for(stated, threads=2, entries=entries)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.get_session_config_entry("session.intra_op.spin_duration_us") == "7"


def test_arena_shrinkage_goes_to_every_run(ort_execution: ModuleType) -> None:
    name = "memory.enable_memory_arena_shrinkage"
    assert ort_execution.run_options_for(config(**{name: "cpu:0"})).get_run_config_entry(name) == "cpu:0"


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
    ort_execution: ModuleType, level: int | None, expected: str
) -> None:
    optimization = {} if level is None else {"optimization": {"graph": {"level": level}}}
    options = ort_execution.options_for(optimization, threads=1)
    assert options.graph_optimization_level == getattr(ort.GraphOptimizationLevel, expected)


@pytest.mark.parametrize(("counts", "share"), [([], CORES), ([1], CORES), ([2], max(1, CORES // 2)), ([9], 1)])
def test_instances_share_the_cores(backend: SimpleNamespace, counts: list[int], share: int) -> None:
    groups = {"instance_group": [{"count": count} for count in counts]}
    assert backend.model_config.cores_per_instance(groups) == share


@pytest.mark.parametrize(("told", "cores"), [("1", 1), ("0", 1), ("", CORES), ("many", CORES), ("9999", CORES)])
def test_the_cores_are_those_that_the_server_was_told(
    backend: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, told: str, cores: int
) -> None:
    monkeypatch.setenv(backend.model_config.USABLE_CORES, told)
    assert backend.model_config.usable_cores() == cores


@pytest.mark.parametrize(
    ("values", "instances", "side_by_side", "lone_threads"),
    [
        ({}, 1, 4, 4),
        ({}, 2, 2, 2),
        ({}, 4, 1, 1),
        ({"intra_op_thread_count": "2"}, 1, 2, 2),
        ({"intra_op_thread_count": "9"}, 1, 1, 9),
        ({"intra_op_thread_count": "0"}, 1, 4, 4),
    ],
)
def test_calls_side_by_side_follow_from_cores_instances_and_the_threads_of_a_config(
    ort_execution: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    values: dict[str, str],
    instances: int,
    side_by_side: int,
    lone_threads: int,
) -> None:
    """The machine may have fewer cores than the four that are spoken of: only the arithmetic is looked at."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setenv("GATEWAY_USABLE_CORES", "4")
    graph = graphs.write_model(tmp_path, "dense", graphs.dense())
    execution = ort_execution.OnnxRuntimeExecution(
        graph, {**config(**values), "instance_group": [{"count": instances}]}
    )
    assert execution.calls_side_by_side == side_by_side
    assert f"a lone one on {lone_threads}," in execution.description


def test_large_weights_are_held_once(
    ort_execution: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    graph = graphs.write_model(tmp_path, "dense", graphs.dense())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(ort_execution, "LARGEST_HELD_TWICE_BYTES", ort_execution.weight_bytes(graph) - 1)
    execution = ort_execution.OnnxRuntimeExecution(graph, {})
    assert "4 calls side by side, a lone one on 4, 4 intra-op threads" in execution.description
    assert execution._wide is execution._session


@pytest.mark.parametrize("text", ["", "two", "1.5"])
def test_a_parameter_that_is_no_number_is_an_error_naming_it(
    backend: SimpleNamespace, tmp_path: Path, text: str
) -> None:
    with pytest.raises(backend.model_config.ConfigError, match="intra_op_thread_count"):
        backend.ort_execution.OnnxRuntimeExecution(
            graphs.write_model(tmp_path, "dense", graphs.dense()), config(intra_op_thread_count=text)
        )


@given(
    folder=st.lists(st.text("abcdefgXYZ0123456789_.-", min_size=1, max_size=12), min_size=1, max_size=6),
    before=st.sampled_from(["", "Load model from ", "error: ", "'", '"', "("]),
    after=st.sampled_from(["", " failed", "' failed", ":12 failed", ", next", ")"]),
)
def test_paths_are_scrubbed_wherever_they_stand(
    backend: SimpleNamespace, folder: list[str], before: str, after: str
) -> None:
    path = "/" + "/".join(folder)
    text = backend.errors.scrub(RuntimeError(f"{before}{path}{after}"))
    assert path not in text
    assert "(path)" in text


@given(value=st.integers(-(2**63), 2**63 - 1))
def test_element_values_are_scrubbed(backend: SimpleNamespace, value: int) -> None:
    text = backend.errors.scrub(RuntimeError(f"indices element out of data bounds, idx={value} must be within [-10,9]"))
    assert text == "indices element out of data bounds, idx=(hidden) must be within [-10,9]"


def test_numpy_2_is_refused_with_the_mark_the_supervisor_looks_for(
    backend: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert backend.errors.ENVIRONMENT_MARK == supervisor.ENVIRONMENT_MARK
    backend.errors.check_environment()
    monkeypatch.setattr(backend.errors.np, "__version__", "2.1.0")
    with pytest.raises(backend.model_config.ConfigError, match=f"{supervisor.ENVIRONMENT_MARK}.*NumPy 2.*2.1.0"):
        backend.errors.check_environment()


def test_another_environment_is_refused(backend: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_STUB_PREFIX", sys.prefix)
    backend.errors.check_environment()
    monkeypatch.setenv("GATEWAY_STUB_PREFIX", "/nowhere")
    with pytest.raises(backend.model_config.ConfigError, match=supervisor.ENVIRONMENT_MARK):
        backend.errors.check_environment()
