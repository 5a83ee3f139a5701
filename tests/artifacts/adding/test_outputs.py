"""Which output vectors are made from: the repository's word and names, never a shape alone."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from gateway.artifacts.adding.model_config import ModelConfig
from gateway.artifacts.adding.outputs import GraphFacts, VectorSource, choose_source
from gateway.artifacts.adding.pooling_stage import PoolingStage
from gateway.artifacts.adding.published import Fact
from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.adding.signature import GraphTensor, Signature
from gateway.artifacts.adding.stages import DenseStage, Stages

SIZE = 8
TOKENS = (-1, -1, SIZE)
SENTENCE = (-1, SIZE)
DENSE = DenseStage("2_Dense", SIZE, 4)


def choose(
    outputs: Mapping[str, tuple[int, ...] | None],
    *,
    stages: Stages | None = None,
    asked: str | None = None,
    hidden_size: int | None = SIZE,
    architectures: tuple[str, ...] = (),
    contains: bool = False,
    data_type: str = "TYPE_FP32",
) -> VectorSource:
    tensors = tuple(GraphTensor(name, data_type, dims) for name, dims in outputs.items())
    config = ModelConfig("config.json", {}, hidden_size=hidden_size, architectures=architectures)
    facts = GraphFacts(Signature((), tensors), lambda _stage, _tokens, _sentence: contains)
    return choose_source(facts, stages=stages, config=config, asked=asked)


def pooled_by(
    *modes: str, include_prompt: bool = True, dimensions: int | None = SIZE, dense: tuple[DenseStage, ...] = ()
) -> Stages:
    return Stages(pooling=Fact(PoolingStage(modes, include_prompt, dimensions), "1_Pooling/config.json"), dense=dense)


@pytest.mark.parametrize("name", ["last_hidden_state", "token_embeddings", "text_embeds", "output_0", "anything"])
def test_token_vectors_are_pooled_as_stated(name: str) -> None:
    found = choose({name: TOKENS, "pooler_output": SENTENCE}, stages=pooled_by("cls"))
    assert (found.output.name, found.pooling) == (name, Fact("cls", "1_Pooling/config.json"))
    assert found.dimensions.value == SIZE


def test_a_finished_vector_beside_token_vectors_does_not_outrank_the_stated_pooling() -> None:
    found = choose({"token_embeddings": TOKENS, "sentence_embedding": SENTENCE}, stages=pooled_by("cls"))
    assert (found.output.name, found.pooling.value) == ("token_embeddings", "cls")


def test_a_finished_vector_is_taken_where_it_is_all_there_is_or_nothing_is_stated() -> None:
    for outputs, stages in (
        ({"sentence_embedding": SENTENCE}, pooled_by("mean")),
        ({"sentence_embedding": SENTENCE}, Stages()),
        ({"sentence_embedding": SENTENCE, "token_embeddings": TOKENS}, None),
    ):
        found = choose(outputs, stages=stages)
        assert (found.output.name, found.pooling.value, found.dimensions.value) == ("sentence_embedding", "in_graph", 8)


@pytest.mark.parametrize("name", ["pooler_output", "13049", "embedding", "output_1", "sentence_embeddings"])
def test_no_other_output_of_rank_2_is_taken_for_a_vector(name: str) -> None:
    with pytest.raises(CannotServe, match="No output of the graph holds the vectors") as caught:
        choose({name: SENTENCE}, stages=pooled_by("mean"))
    assert f"{name} [-1, 8]" in caught.value.message
    assert "pooler_output is another thing" in (caught.value.remedy or "")
    assert choose({name: SENTENCE, "last_hidden_state": TOKENS}).output.name == "last_hidden_state"


def test_outputs_that_only_look_like_token_vectors_are_not_taken() -> None:
    for outputs in (
        {"logits": TOKENS},
        {"hidden_states.1": TOKENS, "hidden_states.2": TOKENS},
        {"attentions": (-1, -1, 5)},
        {"sentence_embedding": TOKENS},
    ):
        if "sentence_embedding" in outputs:
            # A name and a rank that contradict each other; the size says that it is one vector a token.
            assert choose(outputs, stages=pooled_by("mean")).pooling.value == "mean"
            continue
        with pytest.raises(CannotServe, match="No output of the graph"):
            choose(outputs, stages=pooled_by("mean"))
    with pytest.raises(CannotServe, match="No output of the graph"):
        choose({"last_hidden_state": TOKENS}, data_type="TYPE_INT64")


def test_without_any_word_the_pooling_is_assumed_as_sentence_transformers_does() -> None:
    assert choose({"last_hidden_state": TOKENS}).pooling == Fact("mean", "assumed: no modules.json")
    found = choose({"last_hidden_state": TOKENS}, architectures=("Qwen3ForCausalLM",))
    assert found.pooling.value == "last_token"
    assert found.pooling.source.startswith("assumed: ")


def test_the_operators_word_outranks_the_repositorys() -> None:
    found = choose({"last_hidden_state": TOKENS, "sentence_embedding": SENTENCE}, stages=pooled_by("mean"), asked="cls")
    assert (found.output.name, found.pooling) == ("last_hidden_state", Fact("cls", "--pooling"))
    with pytest.raises(CannotServe, match="--pooling cls needs an output with a vector for each token") as caught:
        choose({"sentence_embedding": SENTENCE}, asked="cls")
    assert caught.value.remedy == "Leave --pooling away."


def test_joined_poolings_are_refused_unless_the_graph_has_done_it() -> None:
    with pytest.raises(CannotServe, match=r"joins several poolings into one vector \(mean and max\)"):
        choose({"last_hidden_state": TOKENS}, stages=pooled_by("mean", "max"))
    both = {"last_hidden_state": TOKENS, "sentence_embedding": (-1, 2 * SIZE)}
    assert choose(both, stages=pooled_by("mean", "max")).dimensions.value == 2 * SIZE


def test_stages_without_a_pooling_are_refused() -> None:
    with pytest.raises(CannotServe, match=r"modules\.json has no Pooling stage"):
        choose({"last_hidden_state": TOKENS}, stages=Stages())


def test_leaving_prompts_out_is_refused_whatever_the_graph_gives() -> None:
    stages = pooled_by("mean", include_prompt=False)
    for outputs in ({"last_hidden_state": TOKENS}, {"sentence_embedding": SENTENCE}):
        with pytest.raises(CannotServe, match="include_prompt is false") as caught:
            choose(outputs, stages=stages)
        assert "--pooling mean" in (caught.value.remedy or "")
    assert choose({"last_hidden_state": TOKENS}, stages=stages, asked="mean").pooling.value == "mean"


def test_a_dense_stage_has_to_be_in_the_graph() -> None:
    stages = pooled_by("mean", dense=(DENSE,))
    for outputs in ({"last_hidden_state": TOKENS}, {"last_hidden_state": TOKENS, "sentence_embedding": (-1, 4)}):
        with pytest.raises(CannotServe, match=r"pass a Dense stage \(2_Dense\) after the pooling"):
            choose(outputs, stages=stages)
        with pytest.raises(CannotServe, match="Dense stage"):
            choose(outputs, stages=stages, asked="mean")
    both = {"last_hidden_state": TOKENS, "sentence_embedding": (-1, 4)}
    found = choose(both, stages=stages, contains=True)
    assert (found.output.name, found.pooling.value, found.dimensions.value) == ("sentence_embedding", "in_graph", 4)
    with pytest.raises(CannotServe, match="has vectors of 8 numbers"):
        choose({"last_hidden_state": TOKENS, "sentence_embedding": SENTENCE}, stages=stages, contains=True)


def test_sizes_have_to_agree_and_to_be_known() -> None:
    with pytest.raises(CannotServe, match=r"vectors of 8 numbers, 1_Pooling/config\.json says 16"):
        choose({"last_hidden_state": TOKENS}, stages=pooled_by("mean", dimensions=16))
    open_size = {"last_hidden_state": (-1, -1, -1)}
    assert choose(open_size, stages=pooled_by("mean", dimensions=16)).dimensions.value == 16
    assert choose({"last_hidden_state": None}).dimensions == Fact(SIZE, "config.json")
    with pytest.raises(CannotServe, match="how many numbers a vector has"):
        choose(open_size, hidden_size=None)
