"""Triton's Python backend loads this file; what it does lies in `gateway.python_backend`."""

import sys

# The folder that Triton was started in comes first, and torch would take a folder `triton` in there for a package.
sys.path[:] = filter(None, sys.path)

from gateway.python_backend.serving import TritonPythonModel  # noqa: E402

__all__ = ["TritonPythonModel"]
