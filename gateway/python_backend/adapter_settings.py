"""adapter_config.json: how strongly adapters count, and whether they are of the kind that is computed here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.python_backend.faults import LoadError
from gateway.python_backend.network_config import read_json

# Settings under which a layer computes something else than W x + scaling B A x. Any value but nothing is refused.
_REFUSED = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "lora_bias",
    "fan_in_fan_out",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "layer_replication",
    "trainable_token_indices",
    "target_parameters",
    "alora_invocation_tokens",
    "arrow_config",
    "monteclora_config",
)
# Ways to begin that change the base weights as well.
_REFUSED_BEGINNINGS = ("pissa", "olora", "loftq", "corda")


@dataclass(frozen=True, slots=True)
class AdapterSettings:
    """`rank` is that of each task's adapter; `scaling` is what its product is multiplied with."""

    rank: int
    scaling: float


def read_adapter_settings(path: Path) -> AdapterSettings:
    """Raises `LoadError` for a setting that would change results and is not computed here.

    scaling = alpha / rank, or alpha / sqrt(rank) where rank-stabilised (Kalajdzievski 2023).
    """
    raw = read_json(path)
    _check(raw, path)
    rank, alpha = raw.get("r"), raw.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise LoadError(f"{path.name} gives no rank (r) or no lora_alpha.")
    return AdapterSettings(rank, alpha / (math.sqrt(rank) if raw.get("use_rslora") else rank))


def _check(raw: dict[str, Any], path: Path) -> None:
    if str(raw.get("peft_type")).upper() != "LORA":
        raise LoadError(f"{path.name} is of type '{raw.get('peft_type')}'; only LORA is computed here.")
    refused = [name for name in _REFUSED if raw.get(name)]
    if raw.get("bias") not in (None, "none"):
        refused.append("bias")
    if str(raw.get("init_lora_weights")).lower().startswith(_REFUSED_BEGINNINGS):
        refused.append("init_lora_weights")
    if refused:
        raise LoadError(f"{path.name} sets {', '.join(refused)}, which would change results and is not computed here.")
