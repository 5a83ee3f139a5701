"""What Triton and the environment tell a model when it is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.python_backend.faults import LoadError

DTYPES = ("bfloat16", "float16", "float32")
DEFAULT_MAX_FORWARD_TOKENS = 8192
_ENVIRONMENT = {"dtype": "GATEWAY_DTYPE", "gpu_memory_utilization": "GATEWAY_GPU_MEMORY_UTILIZATION"}


@dataclass(frozen=True, slots=True)
class ServingOptions:
    """`folder` is the version folder with the checkpoint's files. `adapters` are the tasks in the order by which rows
    name them. `dtype` None leaves it to the device, `gpu_memory_utilization` None takes all of its memory.
    `max_forward_tokens` bounds rows times longest row of one forward."""

    folder: Path
    on_gpu: bool = False
    gpu: int = 0
    adapters: tuple[str, ...] = ()
    dtype: str | None = None
    gpu_memory_utilization: float | None = None
    max_forward_tokens: int = DEFAULT_MAX_FORWARD_TOKENS


def read_options(args: Mapping[str, str], environment: Mapping[str, str]) -> ServingOptions:
    """From what Triton hands to `initialize`; the environment comes before the config's parameters.

    Raises `LoadError` for a value that cannot be meant.
    """
    values = _parameters(args["model_config"])
    values |= {name: text for name, key in _ENVIRONMENT.items() if (text := environment.get(key, "").strip())}
    return ServingOptions(
        folder=Path(args["model_repository"]) / args["model_version"],
        on_gpu=args["model_instance_kind"].endswith("GPU"),
        gpu=int(args["model_instance_device_id"] or 0),
        adapters=tuple(name for part in values.get("adapters", "").split(",") if (name := part.strip())),
        dtype=_dtype(values.get("dtype")),
        gpu_memory_utilization=_share(values.get("gpu_memory_utilization")),
        max_forward_tokens=_tokens(values.get("max_forward_tokens")),
    )


def _parameters(model_config: str) -> dict[str, str]:
    entries: dict[str, Any] = json.loads(model_config).get("parameters", {})
    return {name: text for name, entry in entries.items() if (text := str(entry["string_value"]).strip())}


def _dtype(text: str | None) -> str | None:
    if text is None or text == "auto":
        return None
    if text not in DTYPES:
        raise LoadError(f"dtype is '{text}'; it has to be one of {', '.join(DTYPES)}.")
    return text


def _share(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise LoadError(f"gpu_memory_utilization is '{text}'; it has to be a number above 0 and at most 1.")
    return share


def _tokens(text: str | None) -> int:
    if text is None:
        return DEFAULT_MAX_FORWARD_TOKENS
    if not text.isdecimal() or int(text) < 1:
        raise LoadError(f"max_forward_tokens is '{text}'; it has to be a whole number above 0.")
    return int(text)
