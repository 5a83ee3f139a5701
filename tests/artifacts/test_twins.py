"""The twins are what they say: their ONNX graphs compute what their NumPy oracles compute, and hold the traps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from huggingface_hub import hf_hub_download
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument

from tests.support.local_hub import local_hub
from tests.support.twins import generic, reranker_v2, v2_base_en, v3, v5_nano, v5_small, v5_text
from tests.support.twins.publishing import publish, write
from tests.support.twins.twin import Twin

TEXTS = [
    "The quick brown fox jumps over the lazy dog, and it is a model for search.",
    "a",
    "",
    "你好世界 Größe, naïve café: 🙂🚀",
    "Represent the document for retrieval: apples",
]
FP32, FP16 = 1e-5, 2e-2
MODELS = [("onnx/model.onnx", FP32), ("onnx/model_fp16.onnx", FP16)]

Feeds = dict[str, np.ndarray]


def session(twin: Twin, path: str, folder: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(write(twin, folder) / path, options, providers=["CPUExecutionProvider"])


def batch(rows: Sequence[np.ndarray], *, left: bool = False) -> Feeds:
    """Ids and mask padded to the longest; the padding holds the ids of another text, which must not matter."""
    longest = max(map(len, rows))
    ids = np.tile(np.resize(rows[0][::-1], longest), (len(rows), 1)).astype(np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        kept = slice(longest - len(row), longest) if left else slice(0, len(row))
        ids[place, kept], mask[place, kept] = row, 1
    return {"input_ids": ids, "attention_mask": mask}


def assert_rows(got: np.ndarray, expected: Sequence[np.ndarray], tolerance: float) -> None:
    """`got` [rows, longest, ...], right-padded, holds each of `expected` [tokens, ...]."""
    for place, row in enumerate(expected):
        np.testing.assert_allclose(got[place, : len(row)], row, rtol=0, atol=tolerance)


def tensor_types(graph: onnxruntime.InferenceSession) -> Mapping[str, str]:
    return {tensor.name: tensor.type for tensor in [*graph.get_inputs(), *graph.get_outputs()]}


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())


def data_files(graph: bytes) -> set[str]:
    """The locations of external data that a graph names."""
    tensors = onnx.load_model_from_string(graph).graph.initializer
    return {entry.value for one in tensors for entry in one.external_data if entry.key == "location"}


def assert_left_padding_misleads(twin: Twin, folder: Path) -> None:
    """Left padding leaves the hidden states right, and has `sentence_embedding` hold another token's in short rows."""
    rows = [twin.ids(text) for text in (TEXTS[0], TEXTS[4])]
    assert len(rows[0]) != len(rows[1])
    hidden, sentence = session(twin, "onnx/model.onnx", folder).run(None, batch(rows, left=True))
    long, short = sorted(range(2), key=lambda place: -len(rows[place]))
    np.testing.assert_allclose(hidden[short, -len(rows[short]) :], twin.hidden_states(rows[short]), rtol=0, atol=FP32)
    np.testing.assert_allclose(sentence[long], twin.vector(rows[long]), rtol=0, atol=FP32)
    assert distance(sentence[short], twin.vector(rows[short])) > 0.1


def assert_tasks_differ(twins: Sequence[Twin]) -> None:
    vectors = np.array([[twin.vector(twin.ids(text)) for text in TEXTS if twin.ids(text).size] for twin in twins])
    for of_task in np.moveaxis(vectors, 0, 1):
        assert min(distance(of_task[a], of_task[b]) for a in range(len(twins)) for b in range(a)) > 0.05
    assert len({twin.repository for twin in twins}) == len(twins)


def with_types(feeds: Feeds, type_id: int = 0) -> Feeds:
    return {**feeds, "token_type_ids": np.full_like(feeds["input_ids"], type_id)}


class TestV3:
    @pytest.mark.parametrize(("path", "tolerance"), MODELS)
    def test_each_task_is_what_numpy_computes(self, tmp_path: Path, path: str, tolerance: float) -> None:
        twin = v3.build()
        graph = session(twin, path, tmp_path)
        rows = [twin.ids(text) for text in TEXTS]
        for task in range(len(v3.TASKS)):
            hidden, pooler = graph.run(None, {**batch(rows), "task_id": np.array(task)})
            assert_rows(hidden, [twin.hidden_states(row, task=task) for row in rows], tolerance)
            expected = np.stack([v3.pooler_output(row, task=task) for row in rows])
            np.testing.assert_allclose(pooler, expected, rtol=0, atol=tolerance)

    @pytest.mark.parametrize(("path", "_"), MODELS)
    def test_the_signature_is_upstreams(self, tmp_path: Path, path: str, _: float) -> None:
        graph = session(v3.build(), path, tmp_path)
        assert [(one.name, one.type, len(one.shape)) for one in graph.get_inputs()] == [
            ("input_ids", "tensor(int64)", 2),
            ("attention_mask", "tensor(int64)", 2),
            ("task_id", "tensor(int64)", 0),
        ]
        assert [(one.name, one.type, len(one.shape)) for one in graph.get_outputs()] == [
            ("text_embeds", "tensor(float)", 3),
            ("13049", "tensor(float)", 2),
        ]

    def test_a_swapped_adapter_shows(self) -> None:
        twin = v3.build()
        vectors = [[twin.vector(twin.ids(text), task=task) for task in range(5)] for text in TEXTS]
        for tasks in vectors:
            assert min(distance(tasks[a], tasks[b]) for a in range(5) for b in range(a)) > 0.05

    def test_a_task_id_of_another_shape_goes_wrong(self, tmp_path: Path) -> None:
        twin = v3.build()
        graph = session(twin, "onnx/model.onnx", tmp_path)
        feeds = batch([twin.ids(text) for text in TEXTS[:2]])
        right = graph.run(["text_embeds"], {**feeds, "task_id": np.array(1)})[0]
        silent = graph.run(["text_embeds"], {**feeds, "task_id": np.array([1])})[0]
        assert distance(right, silent) > 0.1
        with pytest.raises(Fail, match="Reshape"):
            graph.run(None, {**feeds, "task_id": np.array([1, 1])})

    def test_minus_one_is_the_last_task_and_five_is_refused(self, tmp_path: Path) -> None:
        twin = v3.build()
        graph = session(twin, "onnx/model.onnx", tmp_path)
        feeds = batch([twin.ids(TEXTS[0])])
        last, wrapped = (graph.run(["text_embeds"], {**feeds, "task_id": np.array(task)})[0] for task in (4, -1))
        np.testing.assert_array_equal(last, wrapped)
        with pytest.raises(InvalidArgument, match="out of data bounds"):
            graph.run(None, {**feeds, "task_id": np.array(5)})

    def test_the_pooler_is_not_the_vector(self) -> None:
        twin = v3.build()
        ids = twin.ids(TEXTS[0])
        pooler = v3.pooler_output(ids, task=1)
        assert distance(pooler / np.linalg.norm(pooler), twin.vector(ids, task=1)) > 0.1

    def test_a_row_as_long_as_the_window_runs(self, tmp_path: Path) -> None:
        twin = v3.build()
        ids = np.resize(twin.ids(TEXTS[0])[1:-1], twin.max_tokens)
        graph = session(twin, "onnx/model.onnx", tmp_path)
        hidden = graph.run(["text_embeds"], {**batch([ids]), "task_id": np.array(3)})[0]
        assert_rows(hidden, [twin.hidden_states(ids, task=3)], FP32)

    def test_the_tokenizer_frames_a_text_and_a_pair(self) -> None:
        tokenizer = v3.build().tokenizer()
        pair = tokenizer.encode("the fox", "apples")
        assert pair.tokens == ["<s>", "▁the", "▁fox", "</s>", "</s>", "▁apples", "</s>"]
        assert tokenizer.encode("").ids == [0, 2]
        assert tokenizer.encode("🚀").ids[-2] == 3
        assert 3 not in tokenizer.encode("".join(map(chr, range(32, 127)))).ids

    def test_the_data_file_is_named_as_upstream_names_it(self) -> None:
        twin = v3.build()
        assert data_files(twin.files["onnx/model.onnx"]) == {"model.onnx_data"}
        assert "onnx/model_fp16.onnx_data" not in twin.files
        prompts = json.loads(twin.files["config_sentence_transformers.json"])["prompts"]
        assert tuple(prompts) == v3.TASKS

    def test_the_same_seed_gives_the_same_bytes(self) -> None:
        first = dict(v3.build().files)
        v3.build.cache_clear()
        assert dict(v3.build().files) == first


class TestV5Nano:
    @pytest.mark.parametrize("task", v5_text.TASKS)
    @pytest.mark.parametrize(("path", "tolerance"), MODELS)
    def test_both_outputs_are_what_numpy_computes(self, tmp_path: Path, path: str, tolerance: float, task: str) -> None:
        twin = v5_nano.build(task)
        rows = [twin.ids(text) for text in TEXTS]
        hidden, sentence = session(twin, path, tmp_path).run(None, batch(rows))
        assert_rows(hidden, [twin.hidden_states(row) for row in rows], tolerance)
        assert_rows(sentence, [twin.vector(row) for row in rows], tolerance)

    def test_each_variant_has_its_types_and_a_data_file_of_its_own(self, tmp_path: Path) -> None:
        twin = v5_nano.build()
        for name, kind in (("model", "float"), ("model_fp16", "float16"), ("model_quantized", "float")):
            types = tensor_types(session(twin, f"onnx/{name}.onnx", tmp_path))
            assert types == {
                "input_ids": "tensor(int64)",
                "attention_mask": "tensor(int64)",
                "last_hidden_state": f"tensor({kind})",
                "sentence_embedding": f"tensor({kind})",
            }
            assert data_files(twin.files[f"onnx/{name}.onnx"]) == {f"{name}.onnx_data"}
            assert len(twin.files[f"onnx/{name}.onnx_data"]) > 0

    def test_the_graphs_own_pooling_is_wrong_for_left_padding(self, tmp_path: Path) -> None:
        assert_left_padding_misleads(v5_nano.build(), tmp_path)

    def test_the_quantized_graph_lets_rows_change_one_another(self, tmp_path: Path) -> None:
        twin = v5_nano.build()
        graph = session(twin, "onnx/model_quantized.onnx", tmp_path)
        rows = [twin.ids(text) for text in TEXTS]
        together = graph.run(["sentence_embedding"], batch(rows))[0]
        alone = [graph.run(["sentence_embedding"], batch([row]))[0][0] for row in rows]
        assert min(distance(one, other) for one, other in zip(together, alone, strict=True)) > 1e-3
        assert min(float(one @ twin.vector(row)) for one, row in zip(alone, rows, strict=True)) > 0.95

    def test_tasks_and_texts_differ(self) -> None:
        assert_tasks_differ([v5_nano.build(task) for task in v5_text.TASKS])

    def test_the_tokenizer_puts_one_token_in_front_and_none_behind(self) -> None:
        twin = v5_nano.build()
        tokenizer = twin.tokenizer()
        assert tokenizer.encode("a quick fox").tokens == ["<|begin_of_text|>", "a", "Ġquick", "Ġfox"]
        assert tokenizer.encode("").tokens == ["<|begin_of_text|>"]
        assert tokenizer.id_to_token(twin.pad_id) == "<|end_of_text|>"
        assert tokenizer.decode(tokenizer.encode(TEXTS[3]).ids) == TEXTS[3]

    def test_the_same_seed_gives_the_same_bytes(self) -> None:
        first = dict(v5_nano.build().files)
        v5_nano.build.cache_clear()
        assert dict(v5_nano.build().files) == first


class TestV5Small:
    @pytest.mark.parametrize("task", v5_text.TASKS)
    def test_both_outputs_are_what_numpy_computes(self, tmp_path: Path, task: str) -> None:
        twin = v5_small.build(task)
        rows = [twin.ids(text) for text in TEXTS if text]
        hidden, sentence = session(twin, "onnx/model.onnx", tmp_path).run(None, batch(rows))
        assert_rows(hidden, [twin.hidden_states(row) for row in rows], FP32)
        assert_rows(sentence, [twin.vector(row) for row in rows], FP32)

    def test_the_graphs_own_pooling_is_wrong_for_left_padding(self, tmp_path: Path) -> None:
        assert_left_padding_misleads(v5_small.build(), tmp_path)

    def test_a_token_sees_none_after_it(self) -> None:
        twin = v5_small.build()
        ids = twin.ids(TEXTS[0])
        np.testing.assert_allclose(twin.hidden_states(ids)[:5], twin.hidden_states(ids[:5]), rtol=0, atol=1e-12)

    def test_tasks_and_texts_differ(self) -> None:
        assert_tasks_differ([v5_small.build(task) for task in v5_text.TASKS])

    def test_the_tokenizer_adds_nothing(self) -> None:
        twin = v5_small.build()
        tokenizer = twin.tokenizer()
        assert tokenizer.encode("").ids == []
        assert tokenizer.encode("a quick fox").tokens == ["a", "Ġquick", "Ġfox"]
        assert tokenizer.id_to_token(twin.pad_id) == "<|endoftext|>"
        assert tokenizer.decode(tokenizer.encode(TEXTS[3]).ids) == TEXTS[3]

    def test_a_row_without_tokens_fails(self, tmp_path: Path) -> None:
        graph = session(v5_small.build(), "onnx/model.onnx", tmp_path)
        with pytest.raises((Fail, InvalidArgument)):
            graph.run(None, {name: np.zeros((1, 0), np.int64) for name in ("input_ids", "attention_mask")})


class TestRerankerV2:
    QUERY = "Organic skin care products for sensitive skin"
    DOCUMENTS = (*TEXTS, "new model", "one two house street")

    def rows(self) -> list[np.ndarray]:
        return [reranker_v2.pair_ids(self.QUERY, document) for document in self.DOCUMENTS]

    @pytest.mark.parametrize(("path", "tolerance"), MODELS)
    def test_logits_are_what_numpy_computes(self, tmp_path: Path, path: str, tolerance: float) -> None:
        logits = session(reranker_v2.build(), path, tmp_path).run(None, batch(self.rows()))[0]
        expected = [[reranker_v2.logit(row)] for row in self.rows()]
        np.testing.assert_allclose(logits, expected, rtol=0, atol=tolerance)

    def test_scores_spread(self) -> None:
        scores = [1 / (1 + np.exp(-reranker_v2.logit(row))) for row in self.rows()]
        assert max(scores) - min(scores) > 0.4
        assert min(np.diff(sorted(scores))) > 1e-3

    @pytest.mark.parametrize("name", ["model", "model_fp16", "model_quantized"])
    def test_the_signature_is_upstreams_in_one_file(self, tmp_path: Path, name: str) -> None:
        twin = reranker_v2.build()
        assert tensor_types(session(twin, f"onnx/{name}.onnx", tmp_path)) == {
            "input_ids": "tensor(int64)",
            "attention_mask": "tensor(int64)",
            "logits": "tensor(float)",
        }
        assert data_files(twin.files[f"onnx/{name}.onnx"]) == set()

    def test_positions_end_at_the_window(self, tmp_path: Path) -> None:
        twin = reranker_v2.build()
        graph = session(twin, "onnx/model.onnx", tmp_path)
        longest = np.resize(self.rows()[0], twin.max_tokens)
        logit = graph.run(None, batch([longest]))[0][0, 0]
        assert logit == pytest.approx(reranker_v2.logit(longest), abs=FP32)
        with pytest.raises(InvalidArgument, match="out of data bounds"):
            graph.run(None, batch([np.append(longest, 5)]))

    def test_the_quantized_graph_lets_rows_change_one_another(self, tmp_path: Path) -> None:
        graph = session(reranker_v2.build(), "onnx/model_quantized.onnx", tmp_path)
        together = graph.run(None, batch(self.rows()))[0]
        alone = np.concatenate([graph.run(None, batch([row]))[0] for row in self.rows()])
        assert distance(together, alone) > 1e-2

    def test_its_tokenizer_is_v3s(self) -> None:
        assert reranker_v2.build().files["tokenizer.json"] == v3.build().files["tokenizer.json"]
        assert reranker_v2.pair_ids("the fox", "apples").tolist()[3:5] == [2, 2]


class TestV2BaseEn:
    def test_hidden_states_are_what_numpy_computes(self, tmp_path: Path) -> None:
        twin = v2_base_en.build()
        rows = [twin.ids(text) for text in TEXTS]
        hidden = session(twin, "onnx/model.onnx", tmp_path).run(None, with_types(batch(rows)))[0]
        assert_rows(hidden, [twin.hidden_states(row) for row in rows], FP32)

    def test_token_types_are_required_and_matter(self, tmp_path: Path) -> None:
        twin = v2_base_en.build()
        graph = session(twin, "onnx/model.onnx", tmp_path)
        feeds = batch([twin.ids(TEXTS[0])])
        with pytest.raises(ValueError, match="token_type_ids"):
            graph.run(None, feeds)
        zeros, ones = (graph.run(None, with_types(feeds, type_id))[0] for type_id in (0, 1))
        assert distance(zeros, ones) > 0.1

    def test_distance_matters(self) -> None:
        twin = v2_base_en.build()
        ids = twin.ids(TEXTS[0])
        assert distance(twin.vector(ids), twin.vector(np.concatenate([ids[:1], ids[-2:0:-1], ids[-1:]]))) > 0.01

    def test_slopes_of_twelve_heads_are_the_papers(self) -> None:
        expected = [2.0**-n for n in range(1, 9)] + [2.0**-n for n in (0.5, 1.5, 2.5, 3.5)]
        np.testing.assert_allclose(v2_base_en.slopes(12), expected, rtol=1e-12)

    def test_the_quantized_graph_lets_rows_change_one_another(self, tmp_path: Path) -> None:
        twin = v2_base_en.build()
        graph = session(twin, "onnx/model_quantized.onnx", tmp_path)
        rows = [twin.ids(text) for text in TEXTS]
        together = graph.run(None, with_types(batch(rows)))[0]
        alone = [graph.run(None, with_types(batch([row])))[0][0] for row in rows]
        assert all(distance(one[: len(row)], row) > 1e-3 for one, row in zip(together, alone, strict=True))


@pytest.mark.parametrize("build", generic.FAITHFUL, ids=lambda build: build.__name__)
def test_a_generic_graph_computes_what_numpy_computes(tmp_path: Path, build: Callable[[], Twin]) -> None:
    twin = build()
    rows = [twin.ids(text) for text in TEXTS]
    graph = session(twin, "onnx/model.onnx", tmp_path)
    feeds = with_types(batch(rows))
    outputs = graph.run(None, {one.name: feeds[one.name] for one in graph.get_inputs()})
    assert_rows(outputs[0], [twin.hidden_states(row) for row in rows], FP32)
    if build is generic.pooled_output:
        assert_rows(outputs[1], [twin.hidden_states(row).mean(axis=0) for row in rows], FP32)
        assert min(abs(np.linalg.norm(vector) - 1) for vector in outputs[1]) > 0.1


def test_a_published_twin_is_downloaded_byte_by_byte(tmp_path: Path) -> None:
    twin = v3.build()
    with local_hub() as hub:
        publish(hub, twin)
        for path, data in twin.files.items():
            got = hf_hub_download(twin.repository, path, revision=hub.revision, endpoint=hub.url, cache_dir=tmp_path)
            assert Path(got).read_bytes() == data


class TestGeneric:
    def test_each_repository_is_its_own(self) -> None:
        twins = [build() for build in (*generic.FAITHFUL, *generic.UNFAITHFUL)]
        assert len({twin.repository for twin in twins}) == len(twins)
        vectors = [twin.vector(twin.ids(TEXTS[0])) for twin in twins]
        assert min(distance(vectors[a], vectors[b]) for a in range(len(twins)) for b in range(a)) > 0.05

    def test_left_padding_gives_other_vectors(self, tmp_path: Path) -> None:
        twin = generic.left_padded()
        assert json.loads(twin.files["tokenizer_config.json"])["padding_side"] == "left"
        rows = [twin.ids(text) for text in (TEXTS[0], TEXTS[4])]
        hidden = session(twin, "onnx/model.onnx", tmp_path).run(None, batch(rows, left=True))[0]
        assert distance(hidden[1, -1], twin.hidden_states(rows[1])[-1]) > 0.1

    def test_the_prompted_tokenizer_cuts_and_pads_unless_told_otherwise(self) -> None:
        twin = generic.prompted()
        assert len(twin.tokenizer().encode("a").ids) == len(twin.tokenizer().encode(TEXTS[0]).ids) == 7
        assert len(twin.ids("a")) == 3

    def test_the_unfaithful_ones_are_so(self, tmp_path: Path) -> None:
        pixels = session(generic.unknown_input(), "onnx/model.onnx", tmp_path / "pixels")
        assert "pixel_values" in tensor_types(pixels)
        assert data_files(generic.escaping().files["onnx/model.onnx"]) == {"../outside.bin"}
        with pytest.raises(Fail, match=r"outside"):
            session(generic.escaping(), "onnx/model.onnx", tmp_path / "escaping")
        assert not [path for path in generic.pickle_only().files if path.endswith((".onnx", ".safetensors"))]
        stages = json.loads(generic.dense_stage().files["modules.json"])
        assert [stage["path"] for stage in stages] == ["", "1_Pooling", "2_Dense", "3_Normalize"]
