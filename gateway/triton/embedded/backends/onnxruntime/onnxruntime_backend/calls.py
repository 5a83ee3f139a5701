"""One request on its way through the backend: what it asks for, whether anyone still waits for it, its one answer."""

import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils

from onnxruntime_backend.errors import scrub
from onnxruntime_backend.signatures import sendable

# Asking Triton whether a request is cancelled takes a message there and back; one that did not wait is not asked for.
WAITED_SECONDS = 0.005
URGENT = "urgent"


class Call:
    """A request with its tensors copied out of shared memory, which Triton may take back once `execute` returned."""

    def __init__(self, request):
        self._arrived = time.monotonic()
        self._sender = request.get_response_sender()
        self._timeout_seconds = request.timeout() / 1e6
        self.urgent = False
        self._names = []
        self._arrays = {}
        self._fault = None
        try:
            self.urgent = is_urgent(request.parameters())
            self._names = list(request.requested_output_names())
            self._arrays = {tensor.name(): np.array(tensor.as_numpy()) for tensor in request.inputs()}
        except Exception as error:  # noqa: BLE001  whatever is wrong with a request is that request's alone
            self._fault = error

    def answer(self, execution, *, alone):
        """Computes it, if anyone still waits, and sends the one answer. Never raises."""
        try:
            response = self._response(execution, alone=alone)
        except Exception as error:  # noqa: BLE001  whatever went wrong is this request's alone; the stub lives on
            response = refused(scrub(error))
        try:
            self._sender.send(response, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        except Exception as error:  # noqa: BLE001  the thread has to live on for the calls behind
            pb_utils.Logger.log_error(f"onnxruntime backend: an answer could not be sent: {scrub(error)}")

    def _response(self, execution, *, alone):
        if self._fault is not None:
            raise self._fault
        if self._is_late():
            return refused("The request's time was over before it could be computed.")
        if self._is_cancelled():
            return refused("The request was cancelled before it could be computed.")
        feeds = {name: execution.inputs[name].feed(array) for name, array in self._arrays.items()}
        values = execution.run(self._names, feeds, all_cores=alone)
        tensors = [pb_utils.Tensor(name, sendable(value)) for name, value in zip(self._names, values, strict=True)]
        return pb_utils.InferenceResponse(tensors)

    def _is_late(self):
        return 0 < self._timeout_seconds <= self._waited_seconds()

    def _is_cancelled(self):
        return self._waited_seconds() > WAITED_SECONDS and self._sender.is_cancelled()

    def _waited_seconds(self):
        return time.monotonic() - self._arrived


def is_urgent(parameters):
    """Whether a request's parameters, a JSON object as text, say `urgent`."""
    return json.loads(parameters or "{}").get(URGENT) is True


def refused(message):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message))
