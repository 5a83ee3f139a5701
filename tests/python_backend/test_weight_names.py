"""One name for each weight, by whichever layout."""

from __future__ import annotations

import pytest

from gateway.python_backend.weight_names import adapter_place, weight_name

QUERY = "language_model.layers.3.self_attn.q_proj"


@pytest.mark.parametrize(
    "prefix", ["model.", "model.language_model.", "language_model.model.", "language_model.", "base_model.model.model."]
)
def test_text_weights(prefix: str) -> None:
    assert weight_name(f"{prefix}layers.3.self_attn.q_proj.weight") == f"{QUERY}.weight"
    assert weight_name(f"{prefix}embed_tokens.weight") == "language_model.embed_tokens.weight"


@pytest.mark.parametrize("prefix", ["visual.", "model.visual.", "base_model.model.visual."])
def test_vision_weights(prefix: str) -> None:
    assert weight_name(f"{prefix}merger.mlp.0.bias") == "visual.merger.mlp.0.bias"


def test_the_projector_and_the_base_under_an_adapter() -> None:
    assert weight_name("multi_vector_projector.weight") == "multi_vector_projector.weight"
    assert weight_name("model.layers.3.self_attn.q_proj.base_layer.weight") == f"{QUERY}.weight"


@pytest.mark.parametrize(
    "key",
    ["lm_head.weight", "language_model.lm_head.weight", "model.lm_head.weight", "model.layers.0.rotary_emb.inv_freq"],
)
def test_what_embeddings_do_not_need(key: str) -> None:
    assert weight_name(key) is None


@pytest.mark.parametrize("middle", ["text-matching", "default.text-matching", "text-matching.default"])
@pytest.mark.parametrize("prefix", ["", "base_model.model."])
@pytest.mark.parametrize("layout", ["model.", "model.language_model.", "language_model.model."])
def test_adapters(prefix: str, layout: str, middle: str) -> None:
    key = f"{prefix}{layout}layers.3.self_attn.q_proj.lora_B.{middle}.weight"
    assert adapter_place(key) == (QUERY, "text-matching", "B")


def test_the_projectors_adapter() -> None:
    key = "base_model.model.multi_vector_projector.lora_A.code.weight"
    assert adapter_place(key) == ("multi_vector_projector", "code", "A")


@pytest.mark.parametrize("key", ["model.norm.weight", "a.lora_A.weight", "a.lora_A.code.bias", "a.lora_C.code.weight"])
def test_what_is_no_adapters(key: str) -> None:
    assert adapter_place(key) is None
