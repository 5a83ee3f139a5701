"""Computes with OpenVINO in bfloat16 on the CPU: in bulk 1.6 to 1.8 times as fast as float32 where the processor has
instructions for it, and like that one with vectors that depend on their own text alone.

That last is so because the axis of tokens is padded to a multiple of `TOKENS_STEP` here. Kernels add up numbers along
it in blocks, and a rest that does not fill a block in another order; so a text's vector differed by up to 8e-4 with the
length that its neighbours had it padded to. With whole blocks alone the difference is 0, in bfloat16 as in float32: see
docs/precision.md.
"""

import contextlib
import os
import queue
import threading
from pathlib import Path

import numpy as np
import openvino

from onnxruntime_backend import lanes
from onnxruntime_backend.errors import scrub
from onnxruntime_backend.model_config import ConfigError, cores_per_instance
from onnxruntime_backend.ort_execution import LARGEST_HELD_TWICE_BYTES, weight_bytes
from onnxruntime_backend.signatures import Signature

TOKENS_STEP = 16
DEVICE = "CPU"
BFLOAT16 = "bf16"

# What OpenVINO prepares for a shape of calls, about 1.3 MB of MiniLM, it keeps, and by default for thousands of shapes:
# 880 MB after 576 shapes in two streams (2026-11-21). So oneDNN's own store is switched off, and OpenVINO's, one a
# stream, keeps this many kernels of the last shapes. A shape that is not among them costs 3 ms of CPU at most; in bulk
# no difference was seen between 64 and 256.
KERNELS_KEPT = 64
DNNL_STORE = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"

# OpenVINO's words for element types, and Triton's.
TRITON_TYPES = {
    "boolean": "TYPE_BOOL",
    "u8": "TYPE_UINT8",
    "u16": "TYPE_UINT16",
    "u32": "TYPE_UINT32",
    "u64": "TYPE_UINT64",
    "i8": "TYPE_INT8",
    "i16": "TYPE_INT16",
    "i32": "TYPE_INT32",
    "i64": "TYPE_INT64",
    "f16": "TYPE_FP16",
    "f32": "TYPE_FP32",
    "f64": "TYPE_FP64",
}


class OpenVinoExecution:
    """One graph in bfloat16. Weights are held once for calls side by side, of one thread each; small ones once more for
    a lone call, which takes all cores, and for an urgent one that would have to wait for others."""

    def __init__(self, path, config):
        if not path.is_file():
            raise ConfigError(f"the model file {path.name} is missing in version folder {path.parent.name}")
        cores = cores_per_instance(config)
        self.calls_side_by_side = cores
        os.environ[DNNL_STORE] = "0"
        core = openvino.Core()
        refuse_other_processors(core)
        model = read(core, path)
        self.inputs = signatures(model.inputs)
        self.outputs = signatures(model.outputs)
        with bulk_priority():
            self._narrow = Compiled(core, model, streams=cores, threads=cores)
        self._wide = None
        if cores > 1 and weight_bytes(path) <= LARGEST_HELD_TWICE_BYTES:
            self._wide = Compiled(core, model, streams=1, threads=cores)
        lone_threads = 1 if self._wide is None else cores
        self.description = (
            f"openvino {openvino.__version__.partition('-')[0]} in {self._narrow.precision}, {cores} calls side by "
            f"side, a lone one on {lone_threads}"
        )

    def run(self, names, feeds, *, all_cores):
        """The named outputs as arrays of the length that was given, whatever was padded in here."""
        tokens, padded = with_padding(feeds, self.inputs)
        compiled = self._wide if self._wide is not None and (all_cores or self._narrow.is_full) else self._narrow
        values = compiled.run(names, padded)
        return [self._cut(name, value, tokens) for name, value in zip(names, values, strict=True)]

    def _cut(self, name, value, tokens):
        """Token vectors without those of the padding. An output whose second size is fixed has no axis of tokens."""
        has_tokens = tokens is not None and value.ndim > 2 and self.outputs[name].dims[1] == -1
        return value[:, :tokens] if has_tokens else value


class Compiled:
    """The graph compiled for a number of streams, with as many requests, which are taken and given back."""

    def __init__(self, core, model, *, streams, threads):
        settings = {
            "INFERENCE_PRECISION_HINT": BFLOAT16,
            "NUM_STREAMS": str(streams),
            "INFERENCE_NUM_THREADS": threads,
            # Beside other programs two streams that float share a core now and then: 1.3 times the time for the same
            # work (2 cores, load 4, 2026-11-21). Where not all cores are this model's, others would sit on the same.
            "ENABLE_CPU_PINNING": threads == len(os.sched_getaffinity(0)),
            "CPU_RUNTIME_CACHE_CAPACITY": KERNELS_KEPT,
        }
        try:
            self._model = core.compile_model(model, DEVICE, settings)
        except Exception as error:
            raise ConfigError(f"OpenVINO cannot compile this graph: {scrub(error)}") from error
        self.precision = self._model.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if self.precision != BFLOAT16:
            raise ConfigError(f"OpenVINO would compute in {self.precision} here, not in bfloat16")
        self._free = queue.SimpleQueue()
        for _ in range(streams):
            self._free.put(self._model.create_infer_request())

    @property
    def is_full(self):
        """Whether a call would have to wait for another one."""
        return self._free.empty()

    def run(self, names, feeds):
        request = self._free.get()
        try:
            request.infer(feeds, share_inputs=True)
            # Copied: the request's own memory holds the next call's outputs soon.
            return [np.array(request.get_tensor(name).data) for name in names]
        finally:
            self._free.put(request)


def with_padding(feeds, inputs):
    """How many tokens a call's rows have, and its tensors with that axis at a multiple of `TOKENS_STEP`; None and the
    tensors as they are where no input has such an axis.

    What is added is 0 everywhere: masked, and an id that every vocabulary has.
    """
    lengths = {array.shape[1] for name, array in feeds.items() if has_token_axis(inputs[name], array)}
    if len(lengths) != 1:
        return None, feeds
    (tokens,) = lengths
    missing = -tokens % TOKENS_STEP
    if not missing:
        return tokens, feeds
    return tokens, {
        name: np.pad(array, ((0, 0), (0, missing))) if has_token_axis(inputs[name], array) else array
        for name, array in feeds.items()
    }


def has_token_axis(signature, array):
    return array.ndim == 2 and signature.dims == [-1, -1]


def refuse_other_processors(core):
    if "BF16" not in core.get_property(DEVICE, "OPTIMIZATION_CAPABILITIES"):
        raise ConfigError("this processor has no instructions for bfloat16; unset GATEWAY_PRECISION")


def read(core, path):
    try:
        return core.read_model(path)
    except Exception as error:
        raise ConfigError(f"OpenVINO cannot read this graph: {scrub(error)}") from error


def signatures(ports):
    """By every name that a tensor has: OpenVINO keeps those of tensors that are one and the same."""
    return {name: signature(name, port) for port in ports for name in port.get_names()}


def signature(name, port):
    shape = [dim.get_length() if dim.is_static else str(dim) for dim in port.get_partial_shape()]
    return Signature(name=name, data_type=TRITON_TYPES.get(port.get_element_type().get_type_name()), shape=shape)


@contextlib.contextmanager
def bulk_priority():
    """Threads that are started inside, which OpenVINO's are, give way afterwards as those of `lanes` for bulk calls."""
    before = own_threads()
    yield
    for thread in own_threads() - before:
        lanes.give_way(lanes.BULK_NICENESS, thread)


def own_threads():
    """The kernel's ids of this process's threads."""
    try:
        return {int(task.name) for task in Path("/proc/self/task").iterdir()}
    except OSError:
        return {threading.get_native_id()}
