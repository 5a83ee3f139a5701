"""Our backend inside the real server: bit for bit what ONNX Runtime gives in this process, and errors where due."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import onnxruntime as ort
import psutil
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from gateway.triton.embedded.background import BackgroundTriton
from gateway.triton.embedded.ports import Ports, pick_free
from gateway.triton.embedded.supervisor import EmbeddedTriton, StartReport
from tests.support import graphs

BATCHED = """
backend: "onnxruntime"
max_batch_size: 8
input [ { name: "index" data_type: TYPE_INT64 dims: [ -1 ] } ]
output [ { name: "rows" data_type: TYPE_FP32 dims: [ -1, 4 ] }, { name: "doubled" data_type: TYPE_INT64 dims: [ -1 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
dynamic_batching { preferred_batch_size: [ 3 ] max_queue_delay_microseconds: 5000000 }
"""


class Served:
    """A running server with the test models, and short ways to call it."""

    def __init__(self, repository: Path, report: StartReport, log: Path, server_pid: int) -> None:
        self.repository = repository
        self.report = report
        self.log = log
        self.server_pid = server_pid
        self.client = InferenceServerClient(report.endpoints.grpc)

    def infer(self, model: str, outputs: list[str], **inputs: np.ndarray) -> dict[str, np.ndarray]:
        result = self.client.infer(model, tensors(inputs), outputs=[InferRequestedOutput(name) for name in outputs])
        return {name: result.as_numpy(name) for name in outputs}

    def session(self, model: str, file: str = "model.onnx") -> ort.InferenceSession:
        """The same graph in this process, with as many threads, so that sums are formed in the same order."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        return ort.InferenceSession(self.repository / model / "1" / file, options)


def tensors(inputs: dict[str, np.ndarray]) -> list[InferInput]:
    made = []
    for name, array in inputs.items():
        tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        tensor.set_data_from_numpy(array)
        made.append(tensor)
    return made


def write_good_models(repository: Path) -> None:
    dense = graphs.dense()
    graphs.write_model(repository, "dense", dense)
    graphs.write_model(repository, "two-instances", dense, config=graphs.full_config(dense, count=2))
    nested = graphs.full_config(dense, extra='default_model_filename: "onnx/inner.onnx"')
    graphs.write_model(repository, "nested", dense, config=nested, file="onnx/inner.onnx")
    tuned = graphs.parameters(intra_op_thread_count="1", execution_mode="1", inter_op_thread_count="2")
    tuned += "\noptimization { graph { level: 1 } }"
    graphs.write_model(repository, "tuned", dense, config=graphs.full_config(dense, extra=tuned))
    graphs.write_model(repository, "lookup", graphs.lookup())
    graphs.write_model(repository, "scalar", graphs.scalar_choice())
    graphs.write_model(repository, "strings", graphs.twice())
    graphs.write_model(repository, "batched", graphs.lookup(), config=BATCHED)


def serve(repository: Path, run_folder: Path, models: list[str]) -> Iterator[Served]:
    triton = EmbeddedTriton(repository=repository, run_folder=run_folder, ports=Ports(*pick_free(3)))
    with BackgroundTriton(triton) as background:
        report = background.start(models)
        assert triton.server_pid is not None
        served = Served(repository, report, triton.log, triton.server_pid)
        yield served
        served.client.close()


@pytest.fixture(scope="module")
def served(tritonserver: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    repository = tmp_path_factory.mktemp("repository")
    write_good_models(repository)
    yield from serve(repository, tmp_path_factory.mktemp("run"), sorted(folder.name for folder in repository.iterdir()))


def test_every_model_loads(served: Served) -> None:
    assert dict(served.report.failed) == {}
    assert len(served.report.ready) == 8


@pytest.mark.parametrize("rows", [1, 2, 7, 33])
@pytest.mark.parametrize(("model", "file"), [("dense", "model.onnx"), ("nested", "onnx/inner.onnx")])
def test_output_equals_onnxruntime_bit_for_bit(served: Served, model: str, file: str, rows: int) -> None:
    x = np.random.default_rng(rows).normal(size=(rows, 64)).astype(np.float32)
    (expected,) = served.session(model, file).run(["y"], {"x": x})
    got = served.infer(model, ["y"], x=x)["y"]
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


def test_empty_batch_gives_an_empty_output(served: Served) -> None:
    assert served.infer("dense", ["y"], x=np.zeros((0, 64), np.float32))["y"].shape == (0, 48)


@pytest.mark.parametrize("choice", [0, 1, 2])
def test_rank_0_input_given_as_shape_1_is_reshaped(served: Served, choice: int) -> None:
    x, index = np.ones((2, 4), np.float32), np.array([choice], np.int64)
    session = served.session("scalar")
    expected = session.run(["y"], {"x": x, "choice": index.reshape(())})[0]
    trapped = session.run(["y"], {"x": x, "choice": index})[0]
    assert not np.array_equal(expected, trapped), "the graph must go wrong without the reshape"
    got = served.infer("scalar", ["y", "doubled"], x=x, choice=index)
    assert got["y"].tobytes() == expected.tobytes()
    assert got["doubled"].tolist() == [2 * choice]


@pytest.mark.parametrize("wanted", [["rows"], ["doubled"], ["doubled", "rows"]])
def test_only_requested_outputs_are_sent(served: Served, wanted: list[str]) -> None:
    outputs = [InferRequestedOutput(name) for name in wanted]
    result = served.client.infer("lookup", tensors({"index": np.array([[3]], np.int64)}), outputs=outputs)
    assert sorted(output.name for output in result.get_response().outputs) == sorted(wanted)
    assert {name: result.as_numpy(name).ravel().tolist() for name in wanted} == {
        name: {"rows": [12.0, 13.0, 14.0, 15.0], "doubled": [6]}[name] for name in wanted
    }


def test_strings_pass_both_ways(served: Served) -> None:
    text = ["straße", "naïve", "", "日本語"]
    array = np.array([item.encode() for item in text], dtype=np.object_)
    assert [item.decode() for item in served.infer("strings", ["both"], text=array)["both"]] == [*text, *text]


def test_instances_run_as_processes_that_share_the_cores(served: Served) -> None:
    stubs = [child.cmdline() for child in psutil.Process(served.server_pid).children()]
    assert sum("two-instances" in " ".join(command) for command in stubs) == 2
    assert sum("/dense/" in " ".join(command) for command in stubs) == 1
    cores = len(psutil.Process().cpu_affinity())
    assert f" {max(1, cores // 2)} calls side by side" in line_in_log(served.log, "two-instances_0_1")
    assert f" {cores} calls side by side, a lone one on {cores}," in line_in_log(served.log, "dense_0_0")


def test_thread_parameter_is_honoured(served: Served) -> None:
    cores = len(psutil.Process().cpu_affinity())
    line = line_in_log(served.log, "tuned_0_0")
    assert f" {cores} calls side by side, a lone one on 1, 1 intra-op threads" in line
    assert served.infer("tuned", ["y"], x=np.ones((1, 64), np.float32))["y"].shape == (1, 48)


def line_in_log(log: Path, instance: str) -> str:
    return next(line for line in log.read_text().splitlines() if f"onnxruntime backend: {instance}:" in line)


def test_a_failing_request_harms_no_other_in_the_same_call(served: Served) -> None:
    """The dynamic batcher is told to wait for three, so all three requests reach the backend in one call."""
    before = executions(served, "batched")
    answers = [infer_later(served.client, index) for index in (1, 99, 2)]
    results = [answer.result(timeout=30) for answer in answers]
    assert executions(served, "batched", after=before) == before + 1
    good, bad, other = results
    assert isinstance(bad, InferenceServerException)
    assert good.as_numpy("rows").tolist() == [[[4.0, 5.0, 6.0, 7.0]]]
    assert other.as_numpy("rows").tolist() == [[[8.0, 9.0, 10.0, 11.0]]]


def infer_later(client: InferenceServerClient, index: int):
    future: Future[InferResult | InferenceServerException] = Future()
    client.async_infer(
        "batched",
        tensors({"index": np.array([[index]], np.int64)}),
        outputs=[InferRequestedOutput("rows")],
        callback=lambda result, error: future.set_result(error or result),
    )
    return future


def executions(served: Served, model: str, *, after: int = -1) -> int:
    """How often the backend was called. Triton counts just after it answered, so wait until it has passed `after`."""
    deadline = time.monotonic() + 5
    while True:
        with urllib.request.urlopen(f"http://{served.report.endpoints.http}/v2/models/{model}/stats") as answer:
            count = int(json.load(answer)["model_stats"][0]["execution_count"])
        if count > after or time.monotonic() > deadline:
            return count
        time.sleep(0.01)


def test_error_text_holds_no_path_and_no_element_of_the_input(served: Served) -> None:
    with pytest.raises(InferenceServerException) as caught:
        served.infer("lookup", ["rows"], index=np.array([[31337]], np.int64))
    message = str(caught.value)
    assert "Gather" in message
    assert "/" not in message.replace("(path)", "")
    assert "31337" not in message


def test_wrong_type_is_refused(served: Served) -> None:
    with pytest.raises(InferenceServerException, match="INT64"):
        served.infer("lookup", ["rows"], index=np.array([[1]], np.int32))


def test_the_stub_tells_its_environment(served: Served) -> None:
    told = served.report.stub_environment
    assert told is not None
    assert f"Python {sys.version.split()[0]}, numpy {np.__version__}, onnxruntime {ort.__version__}" in told


FAULTY = {
    "input-name": ('name: "x"', 'name: "z"', "input 'z' is not in the graph"),
    "input-type": ("data_type: TYPE_FP32 dims: [-1, 64]", "data_type: TYPE_FP64 dims: [-1, 64]", "is TYPE_FP64"),
    "input-dims": ("dims: [-1, 64]", "dims: [-1, 65]", "input 'x' has dims"),
    "output-name": ('name: "y"', 'name: "q"', "output 'q' is not in the graph"),
    "output-type": ("data_type: TYPE_FP32 dims: [-1, 48]", "data_type: TYPE_INT64 dims: [-1, 48]", "is TYPE_INT64"),
    "output-dims": ("dims: [-1, 48]", "dims: [7, 48]", "output 'y' has dims"),
    "threads": ("KIND_CPU } ]", "KIND_CPU } ]" + graphs.parameters(intra_op_thread_count="many"), "whole number"),
}


@pytest.fixture(scope="module")
def faulty(tritonserver: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Models that must not load, and one that does: a server with none is an error."""
    repository = tmp_path_factory.mktemp("faulty")
    dense = graphs.dense()
    graphs.write_model(repository, "sound", dense)
    for name, (old, new, _) in FAULTY.items():
        config = graphs.full_config(dense)
        assert old in config
        graphs.write_model(repository, name, dense, config=config.replace(old, new))
    graphs.write_model(repository, "no-file", dense).unlink()
    yield from serve(repository, tmp_path_factory.mktemp("run"), sorted(folder.name for folder in repository.iterdir()))


@pytest.fixture(scope="module")
def bare(tritonserver: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Configs that leave inputs and outputs to auto-completion."""
    repository = tmp_path_factory.mktemp("bare")
    graphs.write_model(repository, "bare", graphs.dense(), config='backend: "onnxruntime"\n')
    graphs.write_model(repository, "bare-scalar", graphs.scalar_choice(), config='backend: "onnxruntime"\n')
    yield from serve(repository, tmp_path_factory.mktemp("run"), ["bare", "bare-scalar"])


@pytest.mark.parametrize("model", sorted(FAULTY))
def test_a_config_that_does_not_fit_the_graph_is_a_load_error(faulty: Served, model: str) -> None:
    assert FAULTY[model][2] in faulty.report.failed[model]


def test_a_missing_file_is_named_without_its_path(faulty: Served) -> None:
    reason = faulty.report.failed["no-file"]
    assert "model.onnx is missing" in reason
    assert str(faulty.repository) not in reason.split("At:")[0]


def test_inputs_and_outputs_left_out_are_filled_in_from_the_graph(bare: Served) -> None:
    config = bare.client.get_model_config("bare", as_json=True)["config"]
    assert [(entry["name"], entry["data_type"], entry["dims"]) for entry in config["input"]] == [
        ("x", "TYPE_FP32", ["64"])
    ]
    assert [(entry["name"], entry["dims"]) for entry in config["output"]] == [("y", ["48"])]
    assert config["max_batch_size"] == 4
    x = np.ones((3, 64), np.float32)
    (expected,) = bare.session("bare").run(["y"], {"x": x})
    assert bare.infer("bare", ["y"], x=x)["y"].tobytes() == expected.tobytes()


def test_a_graph_with_a_scalar_is_completed_without_batching(bare: Served) -> None:
    config = bare.client.get_model_config("bare-scalar", as_json=True)["config"]
    assert "max_batch_size" not in config
    assert {entry["name"]: entry["dims"] for entry in config["input"]} == {"x": ["-1", "4"], "choice": ["1"]}
    got = bare.infer("bare-scalar", ["doubled"], x=np.ones((1, 4), np.float32), choice=np.array([1], np.int64))
    assert got["doubled"].tolist() == [2]
