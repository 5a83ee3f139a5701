"""What computes: the seam between requests, threads and lanes on one side and an inference library on the other.

An execution is an object with
- `inputs` and `outputs`: `Signature` by name;
- `calls_side_by_side`: how many calls, each on one core's share of threads, it may be asked for at once;
- `description`: one line for the log;
- `run(names, feeds, all_cores=...)`: the named outputs as NumPy arrays; called from several threads at once.
  `all_cores` says that nothing else is computed now, so that this call may take every core.
"""

import os

from onnxruntime_backend.model_config import ConfigError
from onnxruntime_backend.ort_execution import OnnxRuntimeExecution

# The models that whoever started the server wants in bfloat16, comma-separated.
FAST_MODELS = "GATEWAY_FAST_MODELS"


def open_execution(path, config):
    """The execution of the graph at `path` under this model config. Raises `ConfigError` where there is none."""
    if config.get("name") not in os.environ.get(FAST_MODELS, "").split(","):
        return OnnxRuntimeExecution(path, config)
    try:
        # An optional package, which takes a third of a second to import.
        from onnxruntime_backend.openvino_execution import OpenVinoExecution
    except ImportError as error:
        raise ConfigError("it is to be served fast, and the package openvino is not installed") from error
    return OpenVinoExecution(path, config)
