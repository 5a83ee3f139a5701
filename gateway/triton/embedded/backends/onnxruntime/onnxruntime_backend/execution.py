"""What computes: the seam between requests, threads and lanes on one side and an inference library on the other.

An execution is an object with
- `inputs` and `outputs`: `Signature` by name;
- `calls_side_by_side`: how many calls, each on one core's share of threads, it may be asked for at once;
- `description`: one line for the log;
- `run(names, feeds, all_cores=...)`: the named outputs as NumPy arrays; called from several threads at once.
  `all_cores` says that nothing else is computed now, so that this call may take every core.
"""

from onnxruntime_backend.ort_execution import OnnxRuntimeExecution


def open_execution(path, config):
    """The execution of the graph at `path` under this model config. Raises `ConfigError` where there is none."""
    return OnnxRuntimeExecution(path, config)
