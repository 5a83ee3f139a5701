"""Triton's Python backend loads this file; what it does lies in `gateway.python_backend`."""

from gateway.python_backend.serving import TritonPythonModel

__all__ = ["TritonPythonModel"]
