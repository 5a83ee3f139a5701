"""What Triton's Python backend calls: the model is loaded once, then each request is answered on its own."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gateway.python_backend.call_rows import ReadableRows, read_rows
from gateway.python_backend.embedder import Embedder
from gateway.python_backend.faults import CallError
from gateway.python_backend.loading import load_embedder, readable_rows
from gateway.python_backend.memory import release
from gateway.python_backend.options import ServingOptions, read_options
from gateway.python_backend.placement import Placement, place

# After an error of the device itself, every further use of it fails in this process.
_DEVICE_FAILED_EXIT = 70

logger = logging.getLogger("gateway.python_backend")


class TritonPythonModel:
    """Triton makes one for each instance, in a process of its own."""

    _embedder: Embedder | None = None
    _readable: ReadableRows

    def initialize(self, args: Mapping[str, str]) -> None:
        """Loads the checkpoint of the version folder. Raises `LoadError`, which Triton shows as the load's error."""
        _log_to_stderr()
        began = time.monotonic()
        options = read_options(args, os.environ)
        placement = place(options)
        embedder = load_embedder(options, placement)
        self._readable = readable_rows(embedder.network, embedder.adapters, embedder.reading)
        self._embedder = embedder
        _log_loaded(args["model_name"], options, placement, time.monotonic() - began)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response a request: what is wrong with one is answered to it alone."""
        return [self._answer(request) for request in requests]

    def is_ready(self) -> bool:
        """Newer Tritons ask. Loaded is all that can be said without computing; the gateway's canary says the rest."""
        return self._embedder is not None

    def finalize(self) -> None:
        """Gives the device's memory back."""
        if self._embedder is not None:
            device = self._embedder.network.model.device
            self._embedder = None
            release(device)

    def _answer(self, request: Any) -> Any:
        # Exists in Triton's process only.
        import triton_python_backend_utils as pb_utils

        try:
            arrays = self._computed(request)
        except CallError as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        except torch.AcceleratorError:
            logger.exception("The device failed. This process ends, so that the model is loaded anew.")
            os._exit(_DEVICE_FAILED_EXIT)
        except Exception as error:
            logger.exception("A call could not be computed.")
            words = f"The model could not compute this call: {type(error).__name__}."
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(words))
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, array) for name, array in arrays.items()])

    def _computed(self, request: Any) -> dict[str, Any]:
        if self._embedder is None:
            raise CallError("The model is not loaded.")
        tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        rows = read_rows(tensors, self._readable)
        return self._embedder.compute(rows, list(request.requested_output_names()))


def _log_to_stderr() -> None:
    """Triton passes its stub's stderr on. Said here, because nobody else sets up logging in that process."""
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


def _log_loaded(name: str, options: ServingOptions, placement: Placement, seconds: float) -> None:
    logger.info(
        "%s loaded in %.1f s: %s, %s, attention by %s, adapters: %s, at most %d tokens a forward.",
        name,
        seconds,
        placement.device,
        placement.dtype,
        placement.attention,
        ", ".join(options.adapters) or "none",
        options.max_forward_tokens,
    )
