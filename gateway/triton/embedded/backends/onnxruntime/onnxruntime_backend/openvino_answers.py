"""Answers calls from a file in bfloat16, in a process that ends afterwards: what is asked before a model is served so.

python -m onnxruntime_backend.openvino_answers GRAPH OUTPUT CALLS.npz ANSWERS.npz

CALLS holds each call's inputs as `NUMBER/NAME`, ANSWERS gets its output as `NUMBER`. Calls
of one row have all cores, as a lone call has; others one.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from onnxruntime_backend.model_config import ConfigError
from onnxruntime_backend.openvino_execution import OpenVinoExecution


def main(graph, output, calls_file, answers_file):
    execution = OpenVinoExecution(Path(graph), {})
    answers = {}
    for number, tensors in read_calls(calls_file).items():
        feeds = {name: execution.inputs[name].feed(array) for name, array in tensors.items()}
        is_alone = max(array.shape[0] for array in tensors.values() if array.ndim) == 1
        (answers[number],) = execution.run([output], feeds, all_cores=is_alone)
    np.savez(answers_file, **answers)


def read_calls(file):
    calls = defaultdict(dict)
    with np.load(file) as arrays:
        for key in arrays.files:
            number, name = key.split("/", 1)
            calls[number][name] = arrays[key]
    return calls


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ConfigError as error:
        sys.exit(str(error))
