"""`config.pbtxt` is what the card says, and what Triton's own message type reads back."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from gateway.cards.installation import LOCK_FILE
from gateway.cards.loading import load_card
from gateway.cards.registry import Registry
from gateway.cards.rendering import config_path, render_config, stale_files, write_rendered
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
    assert [item.optional for item in config.input] == [item.tensor.optional for item in card.triton.inputs]
    assert {key: value.string_value for key, value in config.parameters.items()} == card.triton.parameters
    (instances,) = config.instance_group
    assert instances.count == 1
    assert model_config_pb2.ModelInstanceGroup.Kind.Name(instances.kind) == card.triton.instance_kind


def test_a_rank_0_input_is_written_as_one_number_without_reshape() -> None:
    """Triton refuses `reshape` beside `max_batch_size: 0`; with a batch dimension it would take the first row's number
    for all rows, and say nothing."""
    (v3,) = [card for card in CARDS if card.name == "jina-embeddings-v3"]
    config = parsed(v3)
    (task_id,) = [item for item in config.input if item.name == "task_id"]
    assert (list(task_id.dims), task_id.HasField("reshape")) == ([1], False)
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_nothing_is_set_that_batches_or_slows_down(card: Card) -> None:
    """Triton's batcher joins equal shapes only, and its graph level 2 means no optimisation at all."""
    config = parsed(card)
    assert not config.HasField("dynamic_batching")
    assert not config.HasField("optimization")


def test_no_config_lists_an_output_that_nobody_asks_for() -> None:
    for card in CARDS:
        assert len(parsed(card).output) == len({output.role for output in card.triton.outputs})


def test_a_family_has_a_folder_and_a_config_for_each_member() -> None:
    members = [card for card in CARDS if card.family is not None]
    assert len(members) == 8
    for card in members:
        assert config_path(card) == REPOSITORY / card.name / "config.pbtxt"
        assert not (card.folder / "card.toml").exists()
        assert not (REPOSITORY / str(card.family) / "config.pbtxt").exists()


def test_every_config_in_the_repository_belongs_to_a_card() -> None:
    assert set(REPOSITORY.glob("*/config.pbtxt")) == {config_path(card) for card in CARDS}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_weights_stay_out_of_the_repository(card: Card) -> None:
    """No file that is pulled, built or written beside the weights is ever committed."""
    paths = [card.path_of(path) for path in (*(file.path for file in card.files), LOCK_FILE)]
    for command in (["ls-files"], ["ls-files", "--others", "--exclude-standard"]):
        listed = subprocess.run(
            ["git", *command, "--", *map(str, paths)], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        assert listed.stdout == ""
    ignored = subprocess.run(
        ["git", "check-ignore", *map(str, paths)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert ignored.stdout.splitlines() == [str(path) for path in paths]


def test_parameters_survive_quoting(tmp_path: Path) -> None:
    card = load_card(TinyModel().write_card(tmp_path, scratch=tmp_path))
    parameters = {"intra_op_thread_count": "2", "odd": 'a "quoted" \\ line\nand more'}
    changed = replace(card, triton=replace(card.triton, parameters=parameters))
    read = {key: value.string_value for key, value in parsed(changed).parameters.items()}
    assert read == parameters


def test_a_config_that_drifted_is_noticed(tmp_path: Path) -> None:
    card = load_card(TinyModel().write_card(tmp_path, scratch=tmp_path))
    assert stale_files(card)
    config_path(card).write_text(render_config(card), encoding="utf-8")
    assert not stale_files(card)
    config_path(card).write_text(render_config(card).replace("count: 1", "count: 2"), encoding="utf-8")
    assert stale_files(card)


def test_what_a_call_may_leave_out_is_told_to_triton() -> None:
    (v4,) = [card for card in CARDS if card.name == "jina-embeddings-v4"]
    config = parsed(v4)
    assert [item.name for item in config.input if item.optional] == ["pixels", "image_sizes", "spans", "span_counts"]
    assert config.backend == "python"


def test_code_that_drifted_is_noticed_and_mended(tmp_path: Path) -> None:
    (v4,) = [card for card in CARDS if card.name == "jina-embeddings-v4"]
    card = replace(v4, folder=tmp_path / "jina-embeddings-v4")
    code, config = card.path_of("1/model.py"), config_path(card)
    assert write_rendered(card) == (config, code)
    assert (stale_files(card), write_rendered(card)) == ((), ())
    assert code.read_text(encoding="utf-8") == v4.path_of("1/model.py").read_text(encoding="utf-8")
    code.write_text(code.read_text(encoding="utf-8") + "\nimport os\n", encoding="utf-8")
    assert stale_files(card) == (code,)
    assert write_rendered(card) == (code,)
    assert not stale_files(card)


def test_a_model_that_is_a_graph_has_no_code(tmp_path: Path) -> None:
    card = load_card(TinyModel().write_card(tmp_path, scratch=tmp_path))
    assert write_rendered(card) == (config_path(card),)
