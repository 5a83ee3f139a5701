"""modules.json: the stages that are served, and every one that is not."""

from __future__ import annotations

import pytest

from gateway.artifacts.adding.pooling_stage import PoolingStage
from gateway.artifacts.adding.published import Fact
from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.adding.stages import DenseStage, Stages, read_stages
from tests.support.published import published

NEW = "sentence_transformers.base.modules"
OLD = "sentence_transformers.models"
POOLING = {"1_Pooling/config.json": {"pooling_mode": "mean"}}


def stages(*kinds: str, files: dict[str, object] | None = None, first: str = "") -> Stages | None:
    names = [kind if "." in kind else f"{OLD}.{kind}" for kind in kinds]
    paths = [f"{place}_{name.rpartition('.')[2]}" if place else first for place, name in enumerate(names)]
    modules = [{"path": path, "type": name} for path, name in zip(paths, names, strict=True)]
    return read_stages(published({"modules.json": modules, **POOLING, **(files or {})}))


def test_a_repository_without_stages_says_nothing() -> None:
    assert read_stages(published({})) is None


@pytest.mark.parametrize("own", [OLD, NEW, "sentence_transformers.sentence_transformer.modules"])
def test_stages_are_known_by_their_class_wherever_it_lives(own: str) -> None:
    found = stages(f"{own}.transformer.Transformer", f"{own}.Pooling", f"{own}.Normalize")
    mean = Fact(PoolingStage(("mean",)), "1_Pooling/config.json")
    assert found == Stages(folder="", pooling=mean, normalizes=True)


def test_the_transformer_may_have_a_folder_and_dropout_does_nothing() -> None:
    found = stages("Transformer", "Pooling", "Dropout", first="0_Transformer/")
    assert found is not None
    assert (found.folder, found.normalizes) == ("0_Transformer", False)


def test_a_dense_stage_is_kept_for_the_graph_to_be_asked() -> None:
    config = {"in_features": 8, "out_features": 4, "module_input_name": "sentence_embedding"}
    found = stages("Transformer", "Pooling", "Dense", files={"2_Dense/config.json": config})
    assert found is not None
    assert found.dense == (DenseStage("2_Dense", 8, 4),)


@pytest.mark.parametrize(
    ("kinds", "why"),
    [
        (["Transformer", "Pooling", "WeightedLayerPooling"], "the stage WeightedLayerPooling is not known"),
        (
            ["Transformer", "WeightedLayerPooling", "Pooling"],
            "config.json is missing|WeightedLayerPooling is not known",
        ),
        (["StaticEmbedding"], "the stages are StaticEmbedding"),
        (["CLIPModel"], "the stages are CLIPModel"),
        (["Pooling"], "the stages are Pooling"),
        (["Transformer", "Pooling", "Pooling"], "the stages are Transformer, Pooling, Pooling"),
        (["Transformer", "Pooling", "LayerNorm"], "the stage LayerNorm is not known"),
        (["Transformer", "Router", "Pooling"], "the stage Router is not known"),
        (["Transformer", f"{NEW}.SpladePooling"], "the stage SpladePooling is not known"),
        (["custom_st.Transformer", "Pooling"], "code of the repository's own"),
        (["Transformer", "my_pooling.Pooling"], "code of the repository's own"),
        ([], "the stages are none"),
    ],
)
def test_what_makes_vectors_in_another_way_is_refused(kinds: list[str], why: str) -> None:
    with pytest.raises(CannotServe, match=why) as caught:
        stages(*kinds)
    assert "modules.json" in caught.value.message
    assert caught.value.remedy is not None


def test_a_stage_about_something_else_than_the_sentence_is_refused() -> None:
    tokens = {"module_input_name": "token_embeddings"}
    with pytest.raises(CannotServe, match="Normalize stage 2_Normalize"):
        stages("Transformer", "Pooling", "Normalize", files={"2_Normalize/config.json": tokens})
    dense = {"in_features": 8, "out_features": 4, **tokens}
    with pytest.raises(CannotServe, match="Dense stage 2_Dense"):
        stages("Transformer", "Pooling", "Dense", files={"2_Dense/config.json": dense})


def test_a_stage_without_its_config_is_refused() -> None:
    with pytest.raises(CannotServe, match=r"2_Dense/config\.json is missing"):
        stages("Transformer", "Pooling", "Dense")
    with pytest.raises(CannotServe, match="does not say what the Dense stage maps"):
        stages("Transformer", "Pooling", "Dense", files={"2_Dense/config.json": {"in_features": 8}})


@pytest.mark.parametrize("path", ["../secret", "/etc", "a/../../b", 7])
def test_a_stage_does_not_lead_out_of_the_repository(path: object) -> None:
    modules = [{"path": "", "type": f"{OLD}.Transformer"}, {"path": path, "type": f"{OLD}.Pooling"}]
    with pytest.raises(CannotServe, match="leads out of the repository"):
        read_stages(published({"modules.json": modules}))
