"""`config.pbtxt` is what the card says, and what Triton's own message type reads back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from gateway.cards.loading import load_card
from gateway.cards.registry import Registry
from gateway.cards.rendering import config_path, is_rendered, render_config
from gateway.cards.schema import Card
from tests.support.tiny_bert import TinyModel

REPOSITORY = Path(__file__).parents[2] / "model_repository"
CARDS = Registry.from_repository(REPOSITORY).cards


def parsed(card: Card) -> model_config_pb2.ModelConfig:
    return text_format.Parse(render_config(card), model_config_pb2.ModelConfig())


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_the_checked_in_config_is_current(card: Card) -> None:
    assert config_path(card).read_text(encoding="utf-8") == render_config(card), (
        f"run: gateway models render {card.name}"
    )


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_triton_reads_what_the_card_says(card: Card) -> None:
    config = parsed(card)
    assert (config.name, config.backend, config.max_batch_size) == (card.name, card.triton.backend, 0)
    assert config.default_model_filename == card.triton.default_model_filename
    for group, tensors in ((config.input, card.triton.inputs), (config.output, card.triton.outputs)):
        read = [(item.name, model_config_pb2.DataType.Name(item.data_type), tuple(item.dims)) for item in group]
        assert read == [(item.tensor.name, item.tensor.data_type, item.tensor.dims) for item in tensors]
    (instances,) = config.instance_group
    assert instances.count == 1
    assert model_config_pb2.ModelInstanceGroup.Kind.Name(instances.kind) == card.triton.instance_kind


def test_parameters_survive_quoting(tmp_path: Path) -> None:
    card = load_card(TinyModel().write_card(tmp_path, scratch=tmp_path))
    parameters = {"intra_op_thread_count": "2", "odd": 'a "quoted" \\ line\nand more'}
    changed = replace(card, triton=replace(card.triton, parameters=parameters))
    read = {key: value.string_value for key, value in parsed(changed).parameters.items()}
    assert read == parameters


def test_a_config_that_drifted_is_noticed(tmp_path: Path) -> None:
    card = load_card(TinyModel().write_card(tmp_path, scratch=tmp_path))
    assert not is_rendered(card)
    config_path(card).write_text(render_config(card), encoding="utf-8")
    assert is_rendered(card)
    config_path(card).write_text(render_config(card).replace("count: 1", "count: 2"), encoding="utf-8")
    assert not is_rendered(card)
