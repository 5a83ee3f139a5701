"""What this package raises on purpose: a checkpoint that cannot be served, or a call that cannot be answered."""

from __future__ import annotations


class LoadError(Exception):
    """The model cannot be loaded; its text, a plain sentence for the operator, becomes Triton's load error."""


class CallError(Exception):
    """The tensors of a call cannot be meant; its text names what is wrong and holds nothing of what was sent."""
