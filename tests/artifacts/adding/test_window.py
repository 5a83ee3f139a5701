"""The window, in sentence-transformers' order of precedence, and never beyond the position table."""

from __future__ import annotations

import pytest

from gateway.artifacts.adding.model_config import ModelConfig
from gateway.artifacts.adding.published import Fact
from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.adding.window import choose_window

NO_LIMIT = 1000000000000000019884624838656


def window(
    *,
    asked: int | None = None,
    stage: dict[str, object] | None = None,
    tokenizer: dict[str, object] | None = None,
    model_type: str = "bert",
    positions: int | None = 512,
) -> Fact[int]:
    return choose_window(
        asked,
        stage=Fact(stage or {}, "stage.json"),
        tokenizer=Fact(tokenizer or {}, "tokenizer_config.json"),
        config=ModelConfig("config.json", {}, model_type=model_type, max_positions=positions),
    )


def test_the_stages_own_word_comes_first() -> None:
    found = window(stage={"max_seq_length": 256}, tokenizer={"model_max_length": 128})
    assert found == Fact(256, "stage.json")
    assert window(stage={"processor_kwargs": {"model_max_length": 99}}) == Fact(99, "stage.json")
    assert window(stage={"max_seq_length": None}, tokenizer={"model_max_length": 128}).value == 128


def test_else_the_smaller_of_tokenizer_and_transformer() -> None:
    assert window(tokenizer={"model_max_length": 128}) == Fact(128, "tokenizer_config.json")
    assert window(tokenizer={"model_max_length": 4096}) == Fact(512, "config.json")


@pytest.mark.parametrize("none", [NO_LIMIT, 1e30, 0, -1, None, "512", True])
def test_what_limits_nothing_is_passed_over(none: object) -> None:
    assert window(tokenizer={"model_max_length": none}) == Fact(512, "config.json")


@pytest.mark.parametrize("stated", [None, 512, 514])
def test_robertas_two_unused_positions_are_not_offered(stated: int | None) -> None:
    stage = {} if stated is None else {"max_seq_length": stated}
    assert window(stage=stage, model_type="xlm-roberta", positions=514).value == 512


def test_a_window_beyond_the_table_is_cut_or_refused() -> None:
    found = window(stage={"max_seq_length": 4096})
    assert found.value == 512
    assert "4096 of stage.json" in found.source
    with pytest.raises(CannotServe, match="--max-tokens 600 is more than the 512 positions"):
        window(asked=600)


def test_without_a_table_the_stated_window_stands() -> None:
    assert window(stage={"max_seq_length": 8192}, model_type="qwen3", positions=4096).value == 8192
    assert window(asked=9000, model_type="qwen3", positions=4096) == Fact(9000, "--max-tokens")


def test_nobody_knowing_is_asked_about() -> None:
    with pytest.raises(CannotServe, match="how many tokens the model reads") as caught:
        window(tokenizer={"model_max_length": NO_LIMIT}, positions=None)
    assert "--max-tokens" in (caught.value.remedy or "")
