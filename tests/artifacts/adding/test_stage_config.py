"""The transformer stage's own settings."""

from __future__ import annotations

import pytest

from gateway.artifacts.adding.published import Fact
from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.adding.stage_config import check_stage_config, read_stage_config
from tests.support.published import published


@pytest.mark.parametrize("name", ["sentence_bert_config.json", "sentence_xlm-roberta_config.json"])
def test_it_is_found_under_any_of_its_names(name: str) -> None:
    found = read_stage_config(published({f"0_T/{name}": {"max_seq_length": 9}}), "0_T")
    assert found == Fact({"max_seq_length": 9}, f"0_T/{name}")
    assert read_stage_config(published({}), "").value == {}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_seq_length": 256, "do_lower_case": False},
        {
            "transformer_task": "feature-extraction",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
            "module_output_name": "token_embeddings",
            "processing_kwargs": {"text": {"padding": True, "truncation": True}},
        },
    ],
)
def test_what_reads_plain_texts_is_served(settings: dict[str, object]) -> None:
    check_stage_config(Fact(settings, "s"))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"transformer_task": "fill-mask"}, "transformer_task is fill-mask"),
        ({"modality_config": {"message": {"method": "forward"}}}, "it takes no plain texts"),
        ({"modality_config": {"text": {"method_output_name": "pooler_output"}}}, "vectors come from pooler_output"),
        ({"processing_kwargs": {"text": {"add_special_tokens": False}}}, "processing_kwargs has add_special_tokens"),
        ({"processing_kwargs": {"common": {"suffix": "x"}}}, "processing_kwargs has suffix"),
    ],
)
def test_what_reads_them_in_another_way_is_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(CannotServe, match=f"^s asks for something that is not done here: {why}"):
        check_stage_config(Fact(settings, "s"))
