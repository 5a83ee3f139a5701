"""Built graphs compute BERT: checked against a NumPy oracle on tiny twins and against transformers on the real one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from gateway.artifacts.graphs.building import build_graph
from gateway.cards.loading import load_card
from gateway.cards.schema import GraphSpec
from gateway.errors import ArtifactError, ConfigurationError
from tests.support import numpy_bert
from tests.support.tiny_bert import random_weights, safetensors_bytes, tiny_config

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests" / "golden"
BUNDLED = ROOT / "model_repository" / "all-MiniLM-L6-v2"
TOLERANCE = 1e-5

Run = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

needs_weights = pytest.mark.skipif(
    not (BUNDLED / "1" / "model.safetensors").is_file(), reason="needs: gateway models pull all-MiniLM-L6-v2"
)


def runner(path: Path) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(ids: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden, sentence = session.run(["last_hidden_state", "sentence_embedding"], feeds)
        return hidden, sentence

    return run


def twin(folder: Path, config: dict[str, object], weights: dict[str, np.ndarray]) -> Run:
    """The graph for these weights, built in `folder` and loaded."""
    (folder / "model.safetensors").write_bytes(safetensors_bytes(weights))
    spec = GraphSpec("bert", "1/model.safetensors", config)
    (folder / "model.onnx").write_bytes(build_graph(spec, folder / "model.safetensors"))
    return runner(folder / "model.onnx")


def random_rows(lengths: list[int], vocabulary: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Right-padded int64 ids and mask; the padding holds random ids, which must not matter."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, vocabulary, (len(lengths), max(lengths)))
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    return ids, mask


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_hidden_layers": 1, "num_attention_heads": 1},
        {"num_hidden_layers": 3, "hidden_size": 24, "num_attention_heads": 8, "intermediate_size": 7},
        {"layer_norm_eps": 1e-3, "vocab_size": 5, "max_position_embeddings": 9, "type_vocab_size": 1},
    ],
)
def test_a_tiny_twin_computes_what_the_oracle_computes(tmp_path: Path, changes: dict[str, object]) -> None:
    config = tiny_config(**changes)
    weights = random_weights(config, seed=7)
    run = twin(tmp_path, config, weights)
    ids, mask = random_rows([9, 1, 4, 7], int(str(config["vocab_size"])), seed=3)
    hidden, sentence = run(ids, mask)
    kept = mask.astype(bool)
    oracle = numpy_bert.hidden_states(config, weights, ids, mask)
    np.testing.assert_allclose(hidden[kept], oracle[kept], rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(sentence, numpy_bert.embeddings(config, weights, ids, mask), rtol=0, atol=TOLERANCE)


def test_left_padding_is_masked_as_well(tmp_path: Path) -> None:
    config = tiny_config()
    weights = random_weights(config, seed=2)
    ids, mask = random_rows([8, 8], len(weights["embeddings.word_embeddings.weight"]), seed=5)
    mask[1, :3] = 0
    _, sentence = twin(tmp_path, config, weights)(ids, mask)
    np.testing.assert_allclose(sentence, numpy_bert.embeddings(config, weights, ids, mask), rtol=0, atol=TOLERANCE)


def test_a_row_that_is_masked_throughout_gives_zeros_and_harms_nobody(tmp_path: Path) -> None:
    config = tiny_config()
    run = twin(tmp_path, config, random_weights(config))
    ids, mask = random_rows([6, 6], 10, seed=1)
    _, alone = run(ids[:1], mask[:1])
    mask[1] = 0
    _, sentence = run(ids, mask)
    np.testing.assert_array_equal(sentence[1], 0)
    np.testing.assert_allclose(sentence[:1], alone, rtol=0, atol=TOLERANCE)


def test_the_same_weights_give_the_same_valid_bytes(tmp_path: Path) -> None:
    config = tiny_config()
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(safetensors_bytes(random_weights(config)))
    spec = GraphSpec("bert", "1/model.safetensors", config)
    shuffled = GraphSpec("bert", "1/model.safetensors", dict(reversed(config.items())))
    (tmp_path / "model.onnx").write_bytes(build_graph(spec, weights))
    onnx.checker.check_model(tmp_path / "model.onnx")
    assert build_graph(spec, weights) == build_graph(spec, weights) == build_graph(shuffled, weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"num_attention_heads": 3}, "multiple"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"vocab_size": None}, "vocab_size"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps"),
    ],
)
def test_a_config_it_cannot_honour_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    weights = random_weights(tiny_config())
    with pytest.raises(ConfigurationError, match=message):
        twin(tmp_path, tiny_config(**changes), weights)


def test_weights_that_do_not_fit_the_config_are_refused(tmp_path: Path) -> None:
    config = tiny_config()
    weights = random_weights(config)
    with pytest.raises(ArtifactError, match=r"no tensor encoder\.layer\.2"):
        twin(tmp_path, tiny_config(num_hidden_layers=3), weights)
    with pytest.raises(ArtifactError, match=r"word_embeddings.* is F32 \[15, 16\]"):
        twin(tmp_path, tiny_config(vocab_size=99), weights)


def test_an_unknown_builder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="known builders: bert"):
        build_graph(GraphSpec("gpt", "1/model.safetensors", {}), tmp_path / "model.safetensors")


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return runner(BUNDLED / "1" / "model.onnx")


@pytest.fixture(scope="module")
def golden() -> tuple[list[np.ndarray], np.ndarray]:
    """Token ids by text, and float32 vectors [200, 384] by transformers."""
    with np.load(GOLDEN / "minilm_reference.npz") as file:
        ends = np.cumsum(file["lengths"])[:-1]
        return np.split(file["ids"].astype(np.int64), ends), file["vectors"]


def padded(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    length = max(map(len, rows))
    ids = np.stack([np.pad(row, (0, length - len(row))) for row in rows])
    mask = np.stack([np.pad(np.ones_like(row), (0, length - len(row))) for row in rows])
    return ids, mask


def test_the_golden_texts_cover_the_whole_window(golden: tuple[list[np.ndarray], np.ndarray]) -> None:
    lengths = [len(row) for row in golden[0]]
    texts = json.loads((GOLDEN / "minilm_texts.json").read_text(encoding="utf-8"))
    assert (len(texts), len(lengths), min(lengths), max(lengths)) == (200, 200, 2, 256)


@needs_weights
def test_the_bundled_graph_is_what_the_builder_writes_and_the_card_records() -> None:
    card = load_card(BUNDLED)
    assert card.graph is not None
    data = build_graph(card.graph, BUNDLED / "1" / "model.safetensors")
    file = next(file for file in card.files if file.built_by)
    assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size_bytes, file.sha256)
    model = onnx.load_from_string(data)
    locations = {entry.value for t in model.graph.initializer for entry in t.external_data if entry.key == "location"}
    assert locations == {"model.safetensors"}
    assert len(data) < 40_000


@needs_weights
def test_minilm_equals_transformers_one_text_at_a_time(
    minilm: Run, golden: tuple[list[np.ndarray], np.ndarray]
) -> None:
    rows, vectors = golden
    got = np.concatenate([minilm(*padded([row]))[1] for row in rows])
    np.testing.assert_allclose(got, vectors, rtol=0, atol=TOLERANCE)


@needs_weights
def test_minilm_equals_transformers_in_padded_batches_of_any_company(
    minilm: Run, golden: tuple[list[np.ndarray], np.ndarray]
) -> None:
    rows, vectors = golden
    order = np.random.default_rng(11).permutation(len(rows))
    for start in range(0, len(rows), 20):
        chosen = order[start : start + 20]
        hidden, got = minilm(*padded([rows[place] for place in chosen]))
        np.testing.assert_allclose(got, vectors[chosen], rtol=0, atol=TOLERANCE)
        assert np.isfinite(hidden).all()
