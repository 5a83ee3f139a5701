"""Both schemas of a Pooling stage, as sentence-transformers 6.2 reads them."""

from __future__ import annotations

import pytest

from gateway.artifacts.adding.pooling_stage import MODES, PoolingStage, read_pooling
from gateway.artifacts.adding.refusal import CannotServe
from gateway.vectors.pooling import POOLINGS


def read(**config: object) -> PoolingStage:
    return read_pooling(config, "1_Pooling/config.json")


@pytest.mark.parametrize(
    ("flag", "mode"),
    [
        ("pooling_mode_cls_token", "cls"),
        ("pooling_mode_mean_tokens", "mean"),
        ("pooling_mode_max_tokens", "max"),
        ("pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len"),
        ("pooling_mode_weightedmean_tokens", "weighted_mean"),
        ("pooling_mode_lasttoken", "last_token"),
    ],
)
def test_the_older_schema_has_a_flag_for_each_mode(flag: str, mode: str) -> None:
    flags = {name: name == flag for name in ("pooling_mode_cls_token", "pooling_mode_mean_tokens", flag)}
    assert read(word_embedding_dimension=8, **flags) == PoolingStage((mode,), dimensions=8)


@pytest.mark.parametrize(("word", "mode"), MODES.items())
def test_todays_schema_has_a_word(word: str, mode: str) -> None:
    assert read(embedding_dimension=8, pooling_mode=word) == PoolingStage((mode,), dimensions=8)
    assert mode in POOLINGS


def test_a_list_of_modes_is_joined_in_order() -> None:
    assert read(pooling_mode=["mean", "cls"]).modes == ("mean", "cls")
    assert read(pooling_mode=["lasttoken"]).modes == ("last_token",)
    flags = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    assert read(**flags).modes == ("cls", "mean")


def test_the_word_wins_over_the_flags_and_nothing_means_the_mean() -> None:
    assert read(pooling_mode="cls", pooling_mode_mean_tokens=True).modes == ("cls",)
    assert read().modes == ("mean",)
    assert read(pooling_mode_cls_token=False).modes == ("mean",)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, True),
        ({"include_prompt": True}, True),
        ({"include_prompt": False}, False),
        ({"include_prompt": None}, False),
    ],
)
def test_prompts_are_pooled_unless_it_says_otherwise(given: dict[str, object], kept: bool) -> None:
    assert read(**given).include_prompt is kept


@pytest.mark.parametrize("mode", ["attention", ["mean", "nope"], []])
def test_an_unknown_mode_is_refused(mode: object) -> None:
    with pytest.raises(CannotServe, match=r"1_Pooling/config\.json asks for the pooling"):
        read(pooling_mode=mode)
