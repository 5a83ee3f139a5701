"""vLLM's `usage` object."""

from __future__ import annotations

from typing import Any

from gateway.types import Usage


def vllm_usage(usage: Usage) -> dict[str, Any]:
    """Its four keys, two of which are about texts that a model writes."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "total_tokens": usage.total_tokens,
        "completion_tokens": 0,
        "prompt_tokens_details": None,
    }
