"""Computes with ONNX Runtime on the CPU: calls side by side on one thread each, a lone one on all cores."""

import onnxruntime as ort

from onnxruntime_backend.model_config import ConfigError, cores_per_instance, number, parameter
from onnxruntime_backend.signatures import Signature

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

# Memory patterns, a plan of memory kept for every shape seen, are off unless a config says otherwise: shapes here are
# never the same twice. Two threads, mixed shapes of up to 512 tokens, MiniLM, 25 s, 2026-11-21; growth in MiB after 3 s
# and at the end, CPU per token: arena without patterns 21, 30 and 238 us, flat after 6 s; with them 36, 42 and rising,
# 235 us; no arena 33, 25 and 248 us, with 37 times the page faults; arena shrinkage with patterns 85, 323 and rising.

# Session entries a config may set as parameters, and what holds where it does not (None: ONNX Runtime's own default).
# Threads of calls side by side do not spin: gateway, server and stub share the cores here.
SESSION_ENTRIES = {
    "session.use_device_allocator_for_initializers": None,
    "session.intra_op.allow_spinning": "0",
    "session.intra_op.spin_duration_us": None,
    "session.force_spinning_stop": None,
}
# Those of a lone call's threads wait for one another some 60 times, and waking one costs more than most of these waits.
# So they spin, briefly and never after the call. One text of 12 tokens on both of two cores, a pause of 4 ms before it,
# 2026-11-22, median of 200 in milliseconds: quiet | one core busy elsewhere | both.
#   one thread 5.8 | 5.9 | 9.1     two that do not spin 4.5 | 5.9 | 8.2
#   spinning as long as it likes 3.7 | 11.9 | 7.6     for 100 us 3.5 | 8.1 | 7.7     for 30 us 3.6 | 6.9 | 7.9
# CPU a call 5.8, 6.6, 7.2, 6.7 and 6.9 ms.
LONE_ENTRIES = {
    "session.intra_op.allow_spinning": "1",
    "session.intra_op.spin_duration_us": "30",
    "session.force_spinning_stop": "1",
}

# Weights beyond this are held once, by a session whose threads calls share. That costs some 13 % more CPU (MiniLM, two
# calls of 512 tokens, two cores, 2026-11-21: 1.94 against 1.72 s for 128 texts) and the time is about the same when the
# machine is quiet; the second session of MiniLM, whose weights have 91 MB, takes 51 MiB.
LARGEST_HELD_TWICE_BYTES = 256 * 1024 * 1024


class OnnxRuntimeExecution:
    """One graph. Small weights are held twice: by a session of one thread, which any number of callers may use at once,
    and by one of all cores for a call that is alone. Large ones are held once, by the latter, whose threads are shared;
    the number of threads that a config states counts for every call."""

    def __init__(self, path, config):
        if not path.is_file():
            raise ConfigError(f"the model file {path.name} is missing in version folder {path.parent.name}")
        cores = cores_per_instance(config)
        stated = number(config, "intra_op_thread_count") or 0
        self.calls_side_by_side = max(1, cores // stated) if stated else cores
        narrow, wide = (stated, stated) if stated else threads_for(path, cores)
        self._run_options = run_options_for(config)
        self._session = open_session(path, options_for(config, threads=narrow))
        self._wide = self._session
        if wide != narrow:
            self._wide = open_session(path, options_for(config, threads=wide, entries=SESSION_ENTRIES | LONE_ENTRIES))
        self.inputs = {arg.name: signature(arg) for arg in self._session.get_inputs()}
        self.outputs = {arg.name: signature(arg) for arg in self._session.get_outputs()}
        self.description = (
            f"onnxruntime {ort.__version__}, {self.calls_side_by_side} calls side by side, "
            f"a lone one on {wide}, {narrow} intra-op threads"
        )

    def run(self, names, feeds, *, all_cores):
        """The named outputs, as arrays. Others are computed all the same: leaving them out exists in ONNX Runtime's
        training builds only (microsoft/onnxruntime#16013)."""
        session = self._wide if all_cores else self._session
        return session.run(names, feeds, self._run_options)


def signature(arg):
    return Signature(name=arg.name, data_type=TRITON_TYPES.get(arg.type), shape=arg.shape)


def threads_for(path, cores):
    """Threads of a call beside others, and of one that is alone."""
    return (1, cores) if weight_bytes(path) <= LARGEST_HELD_TWICE_BYTES else (cores, cores)


def weight_bytes(path):
    """Size of the graph and of all that lies beside it, its weights among them."""
    return sum(file.stat().st_size for file in path.parent.iterdir() if file.is_file())


def open_session(path, options):
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def options_for(config, *, threads, entries=SESSION_ENTRIES):
    """Session options from the parameters the C++ backend knows, read as it reads them."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = number(config, "inter_op_thread_count") or 0
    if number(config, "execution_mode") == 1:
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = number(config, "enable_mem_arena") != 0
    options.enable_mem_pattern = number(config, "enable_mem_pattern") == 1
    options.graph_optimization_level = graph_level(config)
    for name, default in entries.items():
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


def graph_level(config):
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    return GRAPH_LEVELS.get(level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
