"""A Python-based Triton backend for ONNX graphs, computed by ONNX Runtime or, served fast, by OpenVINO.

The wheel that carries tritonserver has no C++ ONNX Runtime backend. This file takes its name and its config keys, so
that one `config.pbtxt` (`backend: "onnxruntime"`) is served alike here and by NVIDIA's container. It runs inside
Triton's Python stub, outside the gateway: numpy, onnxruntime, triton_python_backend_utils and, for models that are
served fast, openvino are all it may import.
"""

import json
import sys
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from onnxruntime_backend.calls import Call
from onnxruntime_backend.errors import check_environment
from onnxruntime_backend.execution import open_execution
from onnxruntime_backend.lanes import Lanes
from onnxruntime_backend.signatures import check_inputs, check_outputs, complete

DEFAULT_MODEL_FILENAME = "model.onnx"


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(auto_complete_model_config):
        """Fill in inputs, outputs and batching from the graph where the config leaves inputs or outputs out."""
        check_environment()
        config = auto_complete_model_config.as_dict()
        if config["input"] and config["output"]:
            return auto_complete_model_config
        execution = open_execution(graph_path_from_command_line(), config)
        complete(auto_complete_model_config, config, inputs=execution.inputs, outputs=execution.outputs)
        return auto_complete_model_config

    def initialize(self, args):
        check_environment()
        config = json.loads(args["model_config"])
        filename = config.get("default_model_filename") or DEFAULT_MODEL_FILENAME
        path = Path(args["model_repository"]) / args["model_version"] / filename
        self.execution = open_execution(path, config)
        check_inputs(config, self.execution.inputs)
        check_outputs(config, self.execution.outputs)
        self.lanes = Lanes(side_by_side=self.execution.calls_side_by_side, compute=self._compute)
        pb_utils.Logger.log_info(
            f"onnxruntime backend: {args['model_instance_name']}: Python {sys.version.split()[0]}, numpy "
            f"{np.__version__}, {self.execution.description}"
        )

    def execute(self, requests):
        """Hands each request to a thread, which answers it on its own; so Triton brings the next ones at once, although
        this instance is one process: calls share its weights, and a bad request harms no other."""
        for request in requests:
            call = Call(request)
            self.lanes.put(call, urgent=call.urgent)

    def finalize(self):
        if hasattr(self, "lanes"):  # not where loading failed
            self.lanes.close()

    def _compute(self, call, alone):
        call.answer(self.execution, alone=alone)


def graph_path_from_command_line():
    """Triton's stub is started with the model file as its first argument; auto-completion is told it nowhere else."""
    return Path(Path("/proc/self/cmdline").read_bytes().split(b"\0")[1].decode())
