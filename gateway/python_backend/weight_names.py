"""One name for each weight, whichever version of transformers wrote the checkpoint."""

from __future__ import annotations

import re

PROJECTOR = "multi_vector_projector"
# The first that fits is replaced. A checkpoint of a model under adapters has one more prefix, which goes before.
_PREFIXES = (
    ("model.language_model.", "language_model."),
    ("language_model.model.", "language_model."),
    ("model.visual.", "visual."),
    (f"model.{PROJECTOR}.", f"{PROJECTOR}."),
    ("model.lm_head.", "lm_head."),
    ("language_model.lm_head.", "lm_head."),
    ("model.", "language_model."),
)
_ADAPTED = "base_model.model."
# The output layer plays no part in embeddings, and frequencies are computed here.
_IGNORED = re.compile(r"lm_head\.|.*\.(inv_freq|original_inv_freq)$")
_ADAPTER = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])\.(?:default\.)?(?P<task>[^.]+)(?:\.default)?\.weight")


def weight_name(key: str) -> str | None:
    """The parameter of `Qwen2_5_VLModel`, or of the projector beside it, that is stored under `key`; None for what is
    not needed."""
    name = _without_prefix(key).replace(".base_layer.", ".")
    return None if _IGNORED.match(name) else name


def adapter_place(key: str) -> tuple[str, str, str] | None:
    """(module, task, "A" or "B") of an adapter's tensor; None where `key` is none's."""
    found = _ADAPTER.fullmatch(key)
    if found is None:
        return None
    return _without_prefix(f"{found['module']}.").removesuffix("."), found["task"], found["side"]


def _without_prefix(key: str) -> str:
    name = key.removeprefix(_ADAPTED)
    for prefix, replacement in _PREFIXES:
        if name.startswith(prefix):
            return replacement + name.removeprefix(prefix)
    return name
