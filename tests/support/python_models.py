"""A tiny model of Triton's Python backend, for tests of what the engine does around it."""

from __future__ import annotations

from pathlib import Path

CONFIG = """
name: "%s"
backend: "python"
default_model_filename: "model.py"
max_batch_size: 0
input [
  { name: "token_ids", data_type: TYPE_INT32, dims: [ -1 ] },
  { name: "pixels", data_type: TYPE_UINT8, dims: [ -1 ], optional: true },
  { name: "image_sizes", data_type: TYPE_INT32, dims: [ -1, 2 ], optional: true }
]
output [
  { name: "sums", data_type: TYPE_FP32, dims: [ -1 ] },
  { name: "rows", data_type: TYPE_INT32, dims: [ -1 ] },
  { name: "said", data_type: TYPE_STRING, dims: [ -1 ] }
]
instance_group [ { count: 1, kind: KIND_AUTO } ]
"""

# `sums`: of the ids and of the pixels; `rows`: of each tensor, -1 where it was left out; `said`: about its process.
PROGRAM = """
import json
import os
import sys

import numpy as np
import triton_python_backend_utils as pb_utils

import gateway

{imports}


class TritonPythonModel:
    def initialize(self, args):
        self.said = {{
            "prefix": sys.prefix,
            "gateway": gateway.__file__,
            "kind": args["model_instance_kind"],
            "torch": {torch_version},
            "threads": {threads},
            "environment": dict(os.environ),
        }}

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        given = {{tensor.name(): tensor.as_numpy() for tensor in request.inputs()}}
        pixels = given.get("pixels")
        total = 0.0 if pixels is None else {total}
        made = {{
            "sums": np.array([given["token_ids"].sum(), total], np.float32),
            "rows": np.array(
                [len(given[name]) if name in given else -1 for name in ("token_ids", "pixels", "image_sizes")], np.int32
            ),
            "said": np.array([json.dumps(self.said).encode()], np.object_),
        }}
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, made[name]) for name in wanted])
"""


def write_model(repository: Path, name: str, *, with_torch: bool = False) -> None:
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(CONFIG % name)
    program = PROGRAM.format(
        imports="import torch" if with_torch else "",
        torch_version="torch.__version__" if with_torch else "None",
        threads="torch.get_num_threads()" if with_torch else "None",
        total="float(torch.from_numpy(pixels).sum())" if with_torch else "float(pixels.sum(dtype=np.int64))",
    )
    (folder / "model.py").write_text(program)
