"""What a graph takes: known inputs by their names in any order, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from onnx import TensorProto, helper

from gateway.artifacts.adding.model_config import ModelConfig
from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.adding.signature import GraphTensor, graph_inputs, signature_of
from gateway.cards.triton_spec import InputRole
from tests.support.small_graphs import TOKENS, with_signature

ROWS = ("batch", "sequence")
CONFIG = ModelConfig("config.json", {}, model_type="bert")


def roles(
    inputs: Sequence[str] | Mapping[str, Sequence[int | str]],
    kinds: Mapping[str, int] | None = None,
    config: ModelConfig = CONFIG,
) -> list[tuple[str, InputRole]]:
    signature = signature_of(with_signature(inputs, kinds=kinds))
    return [(one.tensor.name, one.role) for one in graph_inputs(signature, config)]


def test_inputs_are_known_by_name_in_any_order() -> None:
    assert roles(["token_type_ids", "attention_mask", "input_ids"]) == [
        ("token_type_ids", InputRole.TOKEN_TYPE_IDS),
        ("attention_mask", InputRole.ATTENTION_MASK),
        ("input_ids", InputRole.TOKEN_IDS),
    ]


def test_32_bit_inputs_keep_their_type() -> None:
    signature = signature_of(with_signature(kinds={"attention_mask": TensorProto.INT32}))
    assert [one.tensor.data_type for one in graph_inputs(signature, CONFIG)] == ["TYPE_INT64", "TYPE_INT32"]


def test_an_input_with_a_default_need_not_be_fed() -> None:
    model = with_signature()
    model.graph.input.append(helper.make_tensor_value_info("table", TensorProto.FLOAT, [4, 8]))
    assert [tensor.name for tensor in signature_of(model).inputs] == ["input_ids", "attention_mask"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pixel_values", "the part for texts"),
        ("past_key_values.0.key", "for feature extraction"),
        ("task_id", "jina-embeddings-v3"),
        ("length", "Nobody says what belongs in there"),
    ],
)
def test_a_required_input_that_nothing_is_known_of_is_refused_by_name(name: str, hint: str) -> None:
    with pytest.raises(CannotServe, match=rf"required inputs that nothing is known to feed: {name}\.") as caught:
        roles(["input_ids", "attention_mask", name])
    assert hint in (caught.value.remedy or "")


def test_many_unknown_inputs_are_counted() -> None:
    with pytest.raises(CannotServe, match="x0, x1, x2, x3 and 6 more"):
        roles(["input_ids", "attention_mask", *(f"x{number}" for number in range(10))])


@pytest.mark.parametrize(("inputs", "missing"), [(["input_ids"], "attention_mask"), (["attention_mask"], "input_ids")])
def test_texts_of_different_lengths_need_a_mask(inputs: list[str], missing: str) -> None:
    with pytest.raises(CannotServe, match=f"The graph has no input {missing}"):
        roles(inputs)


@pytest.mark.parametrize("shape", [(1, "sequence"), ("batch", 128), ("batch",), ("batch", 1, "sequence")])
def test_a_fixed_shape_is_refused(shape: Sequence[int | str]) -> None:
    with pytest.raises(CannotServe, match=r"exported for other inputs.*input_ids has the shape"):
        roles({"input_ids": shape, "attention_mask": ROWS})


def test_inputs_of_other_types_are_refused() -> None:
    with pytest.raises(CannotServe, match="attention_mask is of type TYPE_FP32"):
        roles(["input_ids", "attention_mask"], {"attention_mask": TensorProto.FLOAT})


def test_positions_are_fed_from_zero_and_so_only_where_that_is_right() -> None:
    given = ["input_ids", "attention_mask", "position_ids"]
    assert roles(given)[-1] == ("position_ids", InputRole.POSITION_IDS)
    with pytest.raises(CannotServe, match="begin at 2 in a xlm-roberta"):
        roles(given, config=ModelConfig("config.json", {}, model_type="xlm-roberta"))


def test_outputs_keep_type_and_open_sizes() -> None:
    model = with_signature(outputs={"last_hidden_state": TOKENS}, kinds={"last_hidden_state": TensorProto.FLOAT16})
    found = signature_of(model).output("last_hidden_state")
    assert found == GraphTensor("last_hidden_state", "TYPE_FP16", (-1, -1, 8))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    found = signature_of(model).output("last_hidden_state")
    assert found == GraphTensor("last_hidden_state", "TYPE_FP16", None)
    assert found.has_rank(2)
    assert found.has_rank(3)
    assert found.last_size is None
