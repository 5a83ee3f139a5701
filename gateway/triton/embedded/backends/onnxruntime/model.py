"""ONNX Runtime as a Python-based Triton backend.

The wheel that carries tritonserver has no C++ ONNX Runtime backend. This file takes its name and its config keys, so
that one `config.pbtxt` (`backend: "onnxruntime"`) is served alike here and by NVIDIA's container. It runs inside
Triton's Python stub, outside the gateway: numpy, onnxruntime and triton_python_backend_utils are all it may import.
"""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

DEFAULT_MODEL_FILENAME = "model.onnx"
DEFAULT_MAX_BATCH_SIZE = 4  # what the C++ backend takes when it may batch and was told nothing
ENVIRONMENT_MARK = "wrong-environment:"  # the supervisor looks for this in a load error

# ONNX Runtime's words for element types, and Triton's.
TRITON_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
    "tensor(string)": "TYPE_STRING",
}

GRAPH_LEVELS = {
    -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
}

# Session entries a config may set as parameters, and what holds where it does not (None: ONNX Runtime's own default).
# Spinning is off because gateway, server and stub share the cores here. MiniLM, 1 x 8 tokens, median of 64 calls on two
# cores, 2026-11-21, off against on: 4.3 against 3.4 ms alone, 4.7 against 8.8 ms beside one busy process, and 0.4
# against 1.75 s of CPU for 60 calls spread over 1.6 s.
SESSION_ENTRIES = {
    "session.use_device_allocator_for_initializers": None,
    "session.intra_op.allow_spinning": "0",
}

PATH_LIKE = re.compile(r"(?<![\w.])/[^\s'\":,)]+")
ELEMENT_VALUE = re.compile(r"\bidx=-?\d+")


class ConfigError(ValueError):
    """The config cannot be served with this graph; its text becomes Triton's load error."""


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(auto_complete_model_config):
        """Fill in inputs, outputs and batching from the graph where the config leaves inputs or outputs out."""
        check_environment()
        config = auto_complete_model_config.as_dict()
        if config["input"] and config["output"]:
            return auto_complete_model_config
        session = open_session(graph_path_from_command_line(), options_for(config))
        complete(auto_complete_model_config, config, Graph(session))
        return auto_complete_model_config

    def initialize(self, args):
        check_environment()
        config = json.loads(args["model_config"])
        filename = config.get("default_model_filename") or DEFAULT_MODEL_FILENAME
        path = Path(args["model_repository"]) / args["model_version"] / filename
        options = options_for(config)
        self.session = open_session(path, options)
        self.graph = Graph(self.session)
        check_inputs(config, self.graph)
        check_outputs(config, self.graph)
        self.run_options = run_options_for(config)
        pb_utils.Logger.log_info(
            f"onnxruntime backend: {args['model_instance_name']}: Python {sys.version.split()[0]}, numpy "
            f"{np.__version__}, onnxruntime {ort.__version__}, {options.intra_op_num_threads} intra-op threads"
        )

    def execute(self, requests):
        """One response a request, each run on its own: the gateway forms the batches; a bad request harms no other."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        try:
            return pb_utils.InferenceResponse(self._outputs(request))
        except Exception as error:  # noqa: BLE001  whatever went wrong is this request's alone; the stub lives on
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(scrub(error)))

    def _outputs(self, request):
        """Requested outputs alone are fetched and sent.

        ONNX Runtime computes the whole graph all the same: leaving out the rest exists in its training builds only
        (microsoft/onnxruntime#16013).
        """
        wanted = list(request.requested_output_names())
        feeds = {tensor.name(): self.graph.feed(tensor.name(), tensor.as_numpy()) for tensor in request.inputs()}
        values = self.session.run(wanted, feeds, self.run_options)
        return [pb_utils.Tensor(name, sendable(value)) for name, value in zip(wanted, values, strict=True)]


class Graph:
    """The graph's own signature: what it takes and gives, whatever a config says."""

    def __init__(self, session):
        self.inputs = {arg.name: Signature(arg) for arg in session.get_inputs()}
        self.outputs = {arg.name: Signature(arg) for arg in session.get_outputs()}

    def feed(self, name, array):
        """The array as the graph wants it. ONNX Runtime takes shape [1] for a rank-0 input without a word and computes
        something else, so rank-0 inputs are reshaped here."""
        signature = self.inputs[name]
        if array.dtype == np.object_:
            array = decoded(array)
        return array.reshape(()) if signature.is_scalar else array


class Signature:
    """Name, Triton type and full shape (-1 where symbolic) of one graph input or output."""

    def __init__(self, arg):
        self.name = arg.name
        self.data_type = TRITON_TYPES.get(arg.type)
        self.is_scalar = len(arg.shape) == 0
        self.dims = [dim if isinstance(dim, int) else -1 for dim in arg.shape] or [1]

    @property
    def may_batch(self):
        return not self.is_scalar and self.dims[0] == -1


def decoded(array):
    """bytes objects, as Triton hands them over, to the str objects ONNX Runtime reads."""
    flat = [item.decode("utf-8") for item in array.ravel()]
    return np.array(flat, dtype=np.object_).reshape(array.shape)


def sendable(value):
    """Triton knows no rank 0 tensor: a scalar output travels as shape [1]."""
    return value.reshape(1) if value.ndim == 0 else value


def scrub(error):
    """The error's text without file paths and without element values, which may be pieces of somebody's input."""
    text = str(error) or type(error).__name__
    return ELEMENT_VALUE.sub("idx=(hidden)", PATH_LIKE.sub("(path)", text))


def check_environment():
    """Refuse to run where results would be wrong without an error.

    The stub picks its packages through the `python3` it finds on PATH, so what it got is looked at, not assumed.
    """
    expected = os.environ.get("GATEWAY_STUB_PREFIX")
    if expected and not same_folder(expected, sys.prefix):
        raise ConfigError(f"{ENVIRONMENT_MARK} the stub runs in another Python environment than the gateway")
    if int(np.__version__.split(".")[0]) >= 2:
        raise ConfigError(f"{ENVIRONMENT_MARK} this tritonserver reads NumPy 2 arrays wrongly, found {np.__version__}")


def same_folder(one, other):
    return Path(one).resolve() == Path(other).resolve()


def graph_path_from_command_line():
    """Triton's stub is started with the model file as its first argument; auto-completion is told it nowhere else."""
    return Path(Path("/proc/self/cmdline").read_bytes().split(b"\0")[1].decode())


def open_session(path, options):
    if not path.is_file():
        raise ConfigError(f"the model file {path.name} is missing in version folder {path.parent.name}")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def options_for(config):
    """Session options from the parameters the C++ backend knows, read as it reads them."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = number(config, "intra_op_thread_count") or threads_per_instance(config)
    options.inter_op_num_threads = number(config, "inter_op_thread_count") or 0
    if number(config, "execution_mode") == 1:
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = number(config, "enable_mem_arena") != 0
    options.enable_mem_pattern = number(config, "enable_mem_pattern") != 0
    options.graph_optimization_level = graph_level(config)
    for name, default in SESSION_ENTRIES.items():
        text = parameter(config, name) or default
        if text is not None:
            options.add_session_config_entry(name, text)
    return options


def run_options_for(config):
    options = ort.RunOptions()
    shrinkage = parameter(config, "memory.enable_memory_arena_shrinkage")
    if shrinkage is not None:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", shrinkage)
    return options


def threads_per_instance(config):
    """All cores this process may use, shared out over the instances; ONNX Runtime alone would take all for each."""
    instances = sum(group.get("count", 1) for group in config.get("instance_group", [])) or 1
    return max(1, len(os.sched_getaffinity(0)) // instances)


def graph_level(config):
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    return GRAPH_LEVELS.get(level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)


def parameter(config, name):
    entry = config.get("parameters", {}).get(name)
    return None if entry is None else entry["string_value"]


def number(config, name):
    """The parameter as a whole number, or None where it is not set."""
    text = parameter(config, name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"parameter {name} must be a whole number, found '{text}'") from None


def complete(model_config, config, graph):
    """What the C++ backend does: batching if every tensor allows it, then the missing inputs or outputs."""
    signatures = [*graph.inputs.values(), *graph.outputs.values()]
    batches = all(signature.may_batch for signature in signatures)
    if config["max_batch_size"] > 0 and not batches:
        raise ConfigError("max_batch_size is above 0, but not every tensor of the graph has a free first dimension")
    if batches and config["max_batch_size"] == 0:
        model_config.set_max_batch_size(DEFAULT_MAX_BATCH_SIZE)
        if not any(key in config for key in ("dynamic_batching", "sequence_batching", "ensemble_scheduling")):
            model_config.set_dynamic_batching()
    if not config["input"]:
        for signature in graph.inputs.values():
            model_config.add_input(described(signature, batches=batches))
    if not config["output"]:
        for signature in graph.outputs.values():
            model_config.add_output(described(signature, batches=batches))


def described(signature, *, batches):
    if signature.data_type is None:
        raise ConfigError(f"tensor '{signature.name}' has an element type that this backend does not serve")
    dims = signature.dims[1:] if batches else signature.dims
    return {"name": signature.name, "data_type": signature.data_type, "dims": dims}


def check_inputs(config, graph):
    """Every graph input has to be listed, by its name and type, with dimensions that can fit."""
    entries = config.get("input", [])
    for entry in entries:
        signature = matched(entry, graph.inputs, kind="input")
        if not fits(full_dims(config, entry), signature):
            raise ConfigError(f"input '{entry['name']}' has dims {entry['dims']}, the graph takes {signature.dims}")
    missing = sorted(set(graph.inputs) - {entry["name"] for entry in entries})
    if missing:
        raise ConfigError(f"the graph also takes {missing}, which the config does not list")


def check_outputs(config, graph):
    """A config may list a subset of the outputs; their dimensions have to be the graph's exactly."""
    for entry in config.get("output", []):
        signature = matched(entry, graph.outputs, kind="output")
        if full_dims(config, entry) != signature.dims:
            raise ConfigError(f"output '{entry['name']}' has dims {entry['dims']}, the graph gives {signature.dims}")


def matched(entry, signatures, *, kind):
    signature = signatures.get(entry["name"])
    if signature is None:
        raise ConfigError(f"{kind} '{entry['name']}' is not in the graph, which has {sorted(signatures)}")
    if entry["data_type"] != signature.data_type:
        raise ConfigError(f"{kind} '{entry['name']}' is {entry['data_type']}, the graph has {signature.data_type}")
    return signature


def full_dims(config, entry):
    """Dimensions as the graph sees them: a `reshape` counts instead of `dims`, a batch dimension comes first."""
    dims = [int(dim) for dim in entry.get("reshape", {}).get("shape", entry["dims"])]
    return [-1, *dims] if config.get("max_batch_size", 0) > 0 else dims


def fits(dims, signature):
    if signature.is_scalar:
        return all(dim == 1 for dim in dims)
    return len(dims) == len(signature.dims) and all(
        -1 in (dim, own) or dim == own for dim, own in zip(dims, signature.dims, strict=True)
    )
