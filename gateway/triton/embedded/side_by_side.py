"""How many calls the embedded server computes at once: whoever sends them keeps so many under way."""

from __future__ import annotations

from gateway.triton.embedded.python_models import usable_cores


def calls_side_by_side() -> int:
    """Of one model whose graph ONNX Runtime computes: one on each core. Models of the Python backend take one."""
    return usable_cores()
