"""A checkpoint's config.json as transformers' own Qwen2.5-VL reads it, whoever wrote it and however old it is.

`auto_map`, `architectures` and `model_type` are not looked at: no code comes from a checkpoint.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import Qwen2_5_VLConfig

from gateway.python_backend.faults import LoadError

# All that shapes results; the rest belongs to training, generation or other programs.
_TEXT = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "hidden_act", "max_position_embeddings", "rms_norm_eps", "layer_types"),
    *("use_sliding_window", "sliding_window", "rope_parameters", "rope_scaling", "rope_theta"),
)
_VISION = (
    *("depth", "hidden_size", "hidden_act", "intermediate_size", "num_heads", "in_channels", "patch_size"),
    *("spatial_merge_size", "temporal_patch_size", "window_size", "out_hidden_size", "fullatt_block_indexes"),
)
_TOKENS = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
# Of the three-dimensional positions, which every checkpoint of this family has; newer files call them the default.
_ROPE_TYPES = (None, "default", "mrope")


def read_network_config(path: Path) -> Any:
    """The `Qwen2_5_VLConfig` of a config.json, text settings at its top level or in `text_config`.

    Raises `LoadError` when it cannot be read or asks for what is not computed here.
    """
    raw = read_json(path)
    text = _only(raw, _TEXT) | _only(raw.get("text_config") or {}, _TEXT)
    if "hidden_size" not in text or not isinstance(raw.get("vision_config"), dict):
        raise LoadError(f"{path.name} describes no Qwen2.5-VL: it has no hidden_size or no vision_config.")
    _check(text, path)
    # Special tokens are the gateway's matter; their usual numbers may lie outside of a small vocabulary.
    text |= {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
    try:
        return Qwen2_5_VLConfig(text_config=text, vision_config=_vision(raw["vision_config"]), **_only(raw, _TOKENS))
    except (StrictDataclassError, ValueError, TypeError, KeyError) as error:
        raise LoadError(f"{path.name} cannot be used: {type(error).__name__} in its settings.") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; raises `LoadError` where there is none."""
    try:
        raw = json.loads(path.read_bytes())
    except OSError as error:
        raise LoadError(f"{path.name} cannot be read from version folder {path.parent.name}.") from error
    except (ValueError, RecursionError) as error:
        raise LoadError(f"{path.name} is not JSON.") from error
    if not isinstance(raw, dict):
        raise LoadError(f"{path.name} is not a JSON object.")
    return raw


def _only(raw: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: raw[name] for name in names if raw.get(name) is not None}


def _vision(raw: dict[str, Any]) -> dict[str, Any]:
    """`in_chans` is an older word for `in_channels`; of both, transformers reads the newer one."""
    vision = _only(raw, _VISION)
    if "in_chans" in raw:
        vision.setdefault("in_channels", raw["in_chans"])
    return vision


def _check(text: dict[str, Any], path: Path) -> None:
    if text.get("use_sliding_window"):
        raise LoadError(f"{path.name} asks for sliding-window attention, which is not computed here.")
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type"))
    if kind not in _ROPE_TYPES:
        raise LoadError(f"{path.name} asks for rotary positions of type '{kind}', which are not computed here.")
