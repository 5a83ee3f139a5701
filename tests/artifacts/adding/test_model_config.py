"""config.json under the names of several architectures, and the kinds of models that have no vector for a text."""

from __future__ import annotations

import pytest

from gateway.artifacts.adding.model_config import ModelConfig, check_kind, read_config
from gateway.artifacts.adding.refusal import CannotServe
from tests.support.published import published


def config(**document: object) -> ModelConfig:
    return read_config(published({"config.json": document}), "")


@pytest.mark.parametrize("name", ["hidden_size", "dim", "d_model", "n_embd"])
def test_sizes_go_by_several_names(name: str) -> None:
    assert config(**{name: 24}).hidden_size == 24
    assert config(text_config={name: 24}).hidden_size == 24
    assert config(**{name: True}).hidden_size is None


@pytest.mark.parametrize(
    ("document", "limit", "offset"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, 512, 0),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514}, 512, 2),
        ({"model_type": "roberta", "max_position_embeddings": 514}, 512, 2),
        ({"model_type": "mpnet", "max_position_embeddings": 514}, 512, 2),
        ({"model_type": "bert", "max_position_embeddings": 8192, "position_embedding_type": "alibi"}, None, 0),
        ({"model_type": "qwen3", "max_position_embeddings": 32768}, None, 0),
        ({"model_type": "bert"}, None, 0),
        ({}, None, 0),
    ],
)
def test_a_position_table_ends(document: dict[str, object], limit: int | None, offset: int) -> None:
    found = config(**document)
    assert (found.position_limit, found.position_offset) == (limit, offset)


def test_a_causal_model_is_one_by_its_first_architecture() -> None:
    assert config(architectures=["Qwen3ForCausalLM"]).is_causal
    assert not config(architectures=["Qwen3ForCausalLM"], is_causal=False).is_causal
    assert not config(architectures=["BertModel", "GPT2ForCausalLM"]).is_causal
    assert not config().is_causal


@pytest.mark.parametrize("sizes", [[64, 32, 64], [32, 64]])
def test_matryoshka_sizes_are_sorted(sizes: list[int]) -> None:
    assert config(matryoshka_dimensions=sizes).matryoshka == (32, 64)


@pytest.mark.parametrize("sizes", [None, "32", [0], [True], ["32"]])
def test_other_matryoshka_sizes_are_none(sizes: object) -> None:
    assert config(matryoshka_dimensions=sizes).matryoshka == ()


@pytest.mark.parametrize(
    ("document", "sentence"),
    [({"architectures": ["XLMRobertaForSequenceClassification"]}, {}), ({}, {"model_type": "CrossEncoder"})],
)
def test_a_cross_encoder_is_sent_to_rerankers(document: dict[str, object], sentence: dict[str, object]) -> None:
    with pytest.raises(CannotServe, match="cross-encoder") as caught:
        check_kind(config(**document), sentence)
    assert "/v1/rerank" in (caught.value.remedy or "")


def test_other_kinds_of_models_are_refused() -> None:
    with pytest.raises(CannotServe, match="of the kind SparseEncoder"):
        check_kind(config(), {"model_type": "SparseEncoder"})
    check_kind(config(architectures=["BertModel"]), {"model_type": "SentenceTransformer"})
    check_kind(config(), {})
