"""Every fault a model folder can have becomes a finding with a remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from gateway.artifacts.building import built_bytes
from gateway.artifacts.verification import verify
from gateway.cards.loading import load_card
from gateway.cards.rendering import config_path, render_config
from gateway.cards.schema import Card
from gateway.cards.triton_spec import TensorSpec
from tests.support.tiny_bert import TinyModel, safetensors_bytes

BUNDLED = Path(__file__).parents[2] / "model_repository" / "all-MiniLM-L6-v2"


@pytest.fixture
def card(tmp_path: Path) -> Card:
    """A complete, right little model."""
    model = TinyModel()
    card = load_card(model.write_card(tmp_path, scratch=tmp_path))
    card.path_of("1").mkdir()
    for path, data in model.published.items():
        card.path_of(f"1/{path}").write_bytes(data)
    for file in card.files:
        if file.built_by:
            card.path_of(file.path).write_bytes(built_bytes(card, None))
    config_path(card).write_text(render_config(card), encoding="utf-8")
    return card


def unhashed(card: Card) -> Card:
    """The card without sizes and hashes, so that faults behind them come to light."""
    return replace(card, files=tuple(replace(file, size_bytes=None, sha256=None) for file in card.files))


def faults(card: Card) -> dict[str, str]:
    report = verify(card)
    assert report.ok == (not report.faults)
    assert all(fault.remedy for fault in report.faults)
    return {fault.check: fault.detail for fault in report.faults}


def faults_behind_the_files(card: Card) -> dict[str, str]:
    """Without hashes in the card, nobody but a lock could say which files are the right ones."""
    found = faults(unhashed(card))
    assert "nobody knows whether these are the right files" in found.pop("lock")
    return found


def test_a_right_model_passes_every_check(card: Card) -> None:
    report = verify(card)
    assert report.faults == ()
    checks = [finding.check for finding in report.findings]
    assert checks == ["file", "file", "file", "config", "graph", "external_data", "tokenizer", "canary", "batch"]


@pytest.mark.skipif(
    not (BUNDLED / "1/model.safetensors").is_file(), reason="needs: gateway models pull all-MiniLM-L6-v2"
)
def test_the_bundled_model_is_proved() -> None:
    assert verify(load_card(BUNDLED)).faults == ()


def test_a_missing_file(card: Card) -> None:
    card.path_of("1/tokenizer.json").unlink()
    assert faults(card) == {"file": "It is missing."}


def test_a_file_of_the_wrong_size(card: Card) -> None:
    card.path_of("1/tokenizer.json").write_bytes(b"{}")
    assert "It has 2 bytes, the card says" in faults(card)["file"]


def test_a_changed_file_of_the_right_size(card: Card) -> None:
    path = card.path_of("1/model.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert "Its sha256 is" in faults(card)["file"]


def test_a_symbolic_link(card: Card, tmp_path: Path) -> None:
    path = card.path_of("1/model.safetensors")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in faults(card)["file"]


def test_a_hard_link_is_fine(card: Card, tmp_path: Path) -> None:
    (tmp_path / "second-name").hardlink_to(card.path_of("1/model.safetensors"))
    assert faults(card) == {}


def test_a_config_that_drifted(card: Card) -> None:
    config_path(card).write_text("name: 'other'", encoding="utf-8")
    assert faults(card) == {"config": "It differs from the card."}


def test_a_graph_that_is_no_onnx(card: Card) -> None:
    card.path_of("1/model.onnx").write_bytes(b"not a graph")
    assert "cannot be read as ONNX" in faults_behind_the_files(card)["graph"]


def changed_tensor(card: Card, **changes: object) -> Card:
    first, *rest = card.triton.outputs
    output = replace(first, tensor=replace(first.tensor, **changes))  # type: ignore[arg-type]
    changed = replace(card, triton=replace(card.triton, outputs=(output, *rest)))
    config_path(changed).write_text(render_config(changed), encoding="utf-8")
    return changed


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dims": (-1, 8)}, "output sentence_embedding has dims [-1, 16], the card says [-1, 8]"),
        ({"dims": (-1,)}, "output sentence_embedding has dims [-1, 16], the card says [-1]"),
        ({"data_type": "TYPE_FP16"}, "output sentence_embedding is TYPE_FP32, the card says TYPE_FP16"),
        ({"name": "pooled"}, "the graph has no output pooled"),
    ],
)
def test_outputs_that_are_not_the_cards(card: Card, changes: dict[str, object], says: str) -> None:
    assert says in faults(changed_tensor(card, **changes))["graph"]


def test_an_input_the_card_does_not_name(card: Card) -> None:
    changed = replace(card, triton=replace(card.triton, inputs=card.triton.inputs[:2]))
    config_path(changed).write_text(render_config(changed), encoding="utf-8")
    assert "input token_type_ids is not in the card" in faults(changed)["graph"]


def test_a_rank_0_input_is_stated_as_one_value(card: Card) -> None:
    path = card.path_of("1/model.onnx")
    model = onnx.load(path, load_external_data=False)
    model.graph.input.append(helper.make_tensor_value_info("task_id", TensorProto.INT64, []))
    path.write_bytes(model.SerializeToString())
    task = replace(card.triton.inputs[0], tensor=TensorSpec("task_id", "TYPE_INT64", (1,)))
    changed = unhashed(replace(card, triton=replace(card.triton, inputs=(*card.triton.inputs, task))))
    assert "graph" not in faults(changed)


Change = Callable[[onnx.TensorProto], None]


def set_entry(key: str, value: str) -> Change:
    def change(tensor: onnx.TensorProto) -> None:
        (entry,) = [entry for entry in tensor.external_data if entry.key == key]
        entry.value = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (set_entry("location", "../model.safetensors"), "points outside the model's folder"),
        (set_entry("location", "/etc/passwd"), "points outside the model's folder"),
        (set_entry("location", "other.bin"), "needs other.bin, which cannot be read"),
        (set_entry("offset", "999999"), "ends at byte"),
        (set_entry("offset", "-8"), "ends at byte"),
        (set_entry("length", "many"), "cannot be read"),
    ],
)
def test_external_data_that_is_not_where_the_graph_says(card: Card, change: Change, says: str) -> None:
    path = card.path_of("1/model.onnx")
    model = onnx.load(path, load_external_data=False)
    change(next(t for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL))
    path.write_bytes(model.SerializeToString())
    assert says in faults_behind_the_files(card)["external_data"]


def test_a_tokenizer_that_does_not_load(card: Card) -> None:
    card.path_of("1/tokenizer.json").write_text("{}", encoding="utf-8")
    assert "is not a tokenizer" in faults_behind_the_files(card)["tokenizer"]


def test_a_pad_id_outside_the_vocabulary(card: Card) -> None:
    changed = replace(card, tokenizer=replace(card.tokenizer, pad_id=500))
    assert "pad_id 500" in faults(changed)["tokenizer"]


def test_other_weights_give_another_vector(card: Card) -> None:
    card.path_of("1/model.safetensors").write_bytes(safetensors_bytes(TinyModel(seed=1).weights))
    assert "The known text's vector is off by" in faults_behind_the_files(card)["canary"]


def test_weights_that_are_not_numbers_are_noticed(card: Card) -> None:
    weights = {name: np.full_like(array, np.nan) for name, array in TinyModel().weights.items()}
    card.path_of("1/model.safetensors").write_bytes(safetensors_bytes(weights))
    assert "vectors of zeros, NaN or infinite values" in faults_behind_the_files(card)["canary"]


def test_a_graph_that_onnx_runtime_refuses(card: Card) -> None:
    path = card.path_of("1/model.onnx")
    model = onnx.load(path, load_external_data=False)
    model.graph.node[-1].op_type = "NoSuchOperator"
    path.write_bytes(model.SerializeToString())
    assert "ONNX Runtime cannot run model.onnx" in faults_behind_the_files(card)["canary"]


def test_a_graph_without_pooling_is_pooled_as_the_card_says(card: Card) -> None:
    """The vector from `last_hidden_state` by the card's pooling is the one the graph would have given."""
    changed = replace(card, triton=replace(card.triton, outputs=card.triton.outputs[1:]))
    config_path(changed).write_text(render_config(changed), encoding="utf-8")
    assert faults(changed) == {}


def test_dimensions_that_the_graph_does_not_give(card: Card) -> None:
    changed = replace(card, vectors=replace(card.vectors, dimensions=8))
    assert "It gives vectors of 16 dimensions, the card says 8" in faults(changed)["canary"]


def test_small_constants_inside_the_graph_are_no_external_data(card: Card) -> None:
    path = card.path_of("1/model.onnx")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "unused"))
    path.write_bytes(model.SerializeToString())
    assert faults_behind_the_files(card) == {}
