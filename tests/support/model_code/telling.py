"""A model for Triton's Python backend that tells what it was told of a call."""

import json
import time

import numpy as np

COUNTS = ("timeout_microseconds", "urgent", "given_up")


class TritonPythonModel:
    def initialize(self, args):
        self.given_up = 0

    def execute(self, requests):
        import triton_python_backend_utils as pb_utils

        answers = []
        for request in requests:
            seconds = pb_utils.get_input_tensor_by_name(request, "seconds").as_numpy()
            self._compute(request, until=time.monotonic() + float(seconds.ravel()[0]))
            urgent = json.loads(request.parameters() or "{}").get("urgent", False)
            told = np.array([request.timeout(), urgent is True, self.given_up], np.int64)
            shaped = told.reshape((*seconds.shape[:-1], len(COUNTS)))
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("seen", shaped)]))
        return answers

    def _compute(self, request, until):
        while time.monotonic() < until:
            if request.is_cancelled():
                self.given_up += 1
                return
            time.sleep(0.01)
