"""The shipped cards say what the models' authors say. Each fact here is one that others got wrong, or pinned bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from gateway.cards.loading import load_model
from gateway.cards.registry import Registry
from gateway.cards.rendering import rendered_files
from gateway.cards.schema import Card, Model, ModelKind, Role
from gateway.cards.triton_spec import InputRole, OutputRole

REPOSITORY = Path(__file__).parents[2] / "model_repository"
SHIPPED = Registry.from_repository(REPOSITORY)
FROM_ONNX = [card for card in SHIPPED.cards if card.graph is not None and card.graph.builder == "serving"]
V4, MERGED = (
    "jina-embeddings-v4",
    {
        "retrieval": "retrieval.passage",
        "text-matching": "text-matching",
        "code": "code.passage",
    },
)
SIZES = {"nano": (768, 128001), "small": (1024, 151643)}


def model(name: str) -> Model:
    return load_model(REPOSITORY / name)


def card(name: str) -> Card:
    return model(name).card


def inputs(of: Card) -> list[tuple[str, InputRole]]:
    return [(one.tensor.name, one.role) for one in of.triton.inputs]


def test_v3_has_its_five_tasks_in_the_order_of_their_adapters() -> None:
    tasks = card("jina-embeddings-v3").tasks
    assert [(task.name, task.adapter, task.prompt, task.role) for task in tasks.tasks] == [
        ("retrieval.query", 0, "Represent the query for retrieving evidence documents: ", Role.QUERY),
        ("retrieval.passage", 1, "Represent the document for retrieval: ", Role.DOCUMENT),
        ("separation", 2, "", None),
        ("classification", 3, "", None),
        ("text-matching", 4, "", None),
    ]


def test_v3_has_a_default_because_its_graph_has_no_state_without_an_adapter() -> None:
    assert card("jina-embeddings-v3").tasks.default == "retrieval.query"


def test_v3s_adapter_is_one_number_for_a_whole_call() -> None:
    adapter = card("jina-embeddings-v3").triton.input(InputRole.ADAPTER)
    assert adapter is not None
    assert (adapter.tensor.name, adapter.tensor.data_type, adapter.tensor.dims) == ("task_id", "TYPE_INT64", (1,))


def test_v3_is_made_from_its_token_vectors_and_not_from_its_pooler() -> None:
    v3 = card("jina-embeddings-v3")
    assert v3.graph is not None
    assert v3.graph.config == {"token_embeddings": "text_embeds"}
    assert v3.embedding.pooling == "mean"
    assert "13049" not in [output.tensor.name for output in v3.triton.outputs]


def test_v3s_files_and_sizes() -> None:
    v3 = card("jina-embeddings-v3")
    assert v3.revision == "ab036b023d30b4d1138c4c3bfa9f0c445ab455d6"
    assert v3.embedding.matryoshka == (32, 64, 128, 256, 512, 768, 1024)
    assert (v3.embedding.dimensions, v3.tokenizer.max_tokens, v3.tokenizer.pad_id) == (1024, 8192, 1)
    assert (v3.embedding.overlap_tokens, v3.embedding.may_chunk_late) == (256, True)
    assert v3.variants == ("fp32", "fp16")
    downloaded = {PurePosixPath(file.path).name for file in v3.files_of("fp32") if file.hub_path}
    assert downloaded == {
        "model.onnx",
        "model.onnx_data",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "config.json",
    }
    assert {file.path for file in v3.files_of("fp16")} ^ {file.path for file in v3.files_of("fp32")} == {
        "1/model.onnx",
        "1/model.onnx_data",
        "1/model_fp16.onnx",
    }


@pytest.mark.parametrize("name", ["jina-embeddings-v3", "jina-reranker-v2-base-multilingual"])
def test_both_xlm_roberta_models_pin_the_same_tokenizer(name: str) -> None:
    (tokenizer,) = [file for file in card(name).files if file.path == "1/tokenizer.json"]
    assert tokenizer.size_bytes == 17_082_734
    assert tokenizer.sha256 == "3a56def25aa40facc030ea8b0b87f3688e4b3c39eb8b45d5702b3a1300fe2a20"


@pytest.mark.parametrize("size", SIZES)
def test_v5_pools_the_last_token_and_ignores_the_graphs_own_vector(size: str) -> None:
    for member in model(f"jina-embeddings-v5-text-{size}").cards:
        assert member.embedding.pooling == "last_token"
        assert not member.embedding.may_chunk_late
        assert member.graph is not None
        assert member.graph.config == {"token_embeddings": "last_hidden_state"}
        assert inputs(member) == [("input_ids", InputRole.TOKEN_IDS), ("attention_mask", InputRole.ATTENTION_MASK)]
        assert (member.embedding.dimensions, member.tokenizer.pad_id) == SIZES[size]
        # Nano's limit, whatever its announcement says; small's is what a CPU has memory for.
        assert member.tokenizer.max_tokens == 8192


@pytest.mark.parametrize("size", SIZES)
def test_v5_has_a_prefix_for_every_task(size: str) -> None:
    table = card(f"jina-embeddings-v5-text-{size}").tasks
    assert table.prompts == {Role.QUERY: "Query: ", Role.DOCUMENT: "Document: "}
    assert table.default == "text-matching"
    assert [(task.name, task.role, task.member, task.prompt) for task in table.tasks] == [
        ("retrieval.query", Role.QUERY, "retrieval", None),
        ("retrieval.passage", Role.DOCUMENT, "retrieval", None),
        ("text-matching", Role.DOCUMENT, "text-matching", None),
        ("clustering", Role.DOCUMENT, "clustering", None),
        ("classification", Role.DOCUMENT, "classification", None),
    ]


@pytest.mark.parametrize(
    ("size", "sizes"), [("nano", (32, 64, 128, 256, 512, 768)), ("small", (32, 64, 128, 256, 512, 768, 1024))]
)
def test_v5s_sizes_it_can_be_cut_to(size: str, sizes: tuple[int, ...]) -> None:
    assert card(f"jina-embeddings-v5-text-{size}").embedding.matryoshka == sizes


def test_nano_retrieval_is_pinned_byte_for_byte_and_its_siblings_are_not() -> None:
    first, *others = model("jina-embeddings-v5-text-nano").cards
    assert first.revision == "ac5d898c8d382b17167c33e5c8af644a3519b47d"
    assert first.variants == ("fp32", "fp16", "quantized")
    published = {file.hub_path: (file.size_bytes, file.sha256) for file in first.files if file.hub_path}
    assert all(sha256 is not None for _, sha256 in published.values())
    assert published["onnx/model_quantized.onnx_data"] == (
        247_006_208,
        "ee7870eb143a7353be08b33f79992a51de3e32b41f684ccd82953a710c2f2f9c",
    )
    for other in (*others, *model("jina-embeddings-v5-text-small").cards):
        assert other.revision is None
        assert all(file.sha256 is None for file in other.files)


def test_the_reranker_reads_pairs_without_types_and_gives_one_logit() -> None:
    reranker = card("jina-reranker-v2-base-multilingual")
    assert reranker.kind is ModelKind.RERANKER
    assert inputs(reranker) == [("input_ids", InputRole.TOKEN_IDS), ("attention_mask", InputRole.ATTENTION_MASK)]
    assert [(output.tensor.dims, output.role) for output in reranker.triton.outputs] == [((-1, 1), OutputRole.LOGIT)]
    assert reranker.graph is not None
    assert reranker.graph.config == {"logit": "logits"}
    # Its position table ends at 1024; half of that is the most a query takes.
    assert reranker.tokenizer.max_tokens == 1024
    assert reranker.reranking is not None
    assert (reranker.reranking.max_query_tokens, reranker.reranking.overlap_tokens) == (512, 80)
    assert reranker.revision == "9cfeff2df7d40d1b78e75e5e9cebec92a99813c9"
    assert reranker.variants == ("fp32", "fp16", "quantized")


def test_v2_comes_without_the_precision_that_gives_nan() -> None:
    v2 = card("jina-embeddings-v2-base-en")
    assert v2.variants == ("fp32", "quantized")
    assert not [file.path for file in v2.files if "fp16" in file.path]
    assert (v2.hub_id, v2.repository) == ("jinaai/jina-embeddings-v2-base-en", "Xenova/jina-embeddings-v2-base-en")


@pytest.mark.parametrize("name", ["all-MiniLM-L6-v2", "jina-embeddings-v2-base-en"])
def test_bert_models_are_fed_the_type_ids_that_their_graphs_demand(name: str) -> None:
    assert card(name).triton.input(InputRole.TOKEN_TYPE_IDS) is not None


def test_minilm_reads_the_window_it_was_trained_with() -> None:
    assert card("all-MiniLM-L6-v2").tokenizer.max_tokens == 256


@pytest.mark.parametrize("one", SHIPPED.cards, ids=lambda one: one.name)
def test_every_model_is_one_instance_on_whatever_there_is(one: Card) -> None:
    assert (one.triton.instance_count, one.triton.instance_kind) == (1, "KIND_AUTO")


@pytest.mark.parametrize("one", SHIPPED.cards, ids=lambda one: one.name)
def test_models_of_a_long_window_give_back_what_a_long_text_needed(one: Card) -> None:
    shrinks = one.triton.parameters.get("memory.enable_memory_arena_shrinkage")
    assert shrinks == ("cpu:0" if one.triton.has_graph and one.tokenizer.max_tokens >= 8192 else None)


@pytest.mark.parametrize("one", FROM_ONNX, ids=lambda one: one.name)
def test_upstream_files_keep_their_names_and_lie_together(one: Card) -> None:
    """A graph names its data file, and ONNX Runtime wants it beside it, as a real file."""
    for file in one.files:
        if file.hub_path:
            assert file.path == f"1/{PurePosixPath(file.hub_path).name}"
    assert one.triton.default_model_filename == "serving.onnx"
    (built,) = [file for file in one.files if file.built_by]
    assert (built.path, built.built_by) == ("1/serving.onnx", "serving")


@pytest.mark.parametrize("one", FROM_ONNX, ids=lambda one: one.name)
def test_every_variant_has_one_graph_of_its_own(one: Card) -> None:
    for variant in one.variants:
        graphs = [file for file in one.files_of(variant) if file.hub_path and file.hub_path.endswith(".onnx")]
        assert [graph.variant for graph in graphs] == [variant]
    assert one.variants[0] == "fp32"
    assert one.files_of(None) == one.files_of("fp32")


@pytest.mark.parametrize("one", SHIPPED.cards, ids=lambda one: one.name)
def test_a_readers_folder_needs_nothing_but_what_the_card_lists(one: Card) -> None:
    assert one.tokenizer.file in [file.path for file in one.files]
    assert f"1/{one.triton.default_model_filename}" in [
        *(file.path for file in one.files),
        *(str(path.relative_to(one.folder)) for path in rendered_files(one)),
    ]


@pytest.mark.parametrize("one", SHIPPED.models, ids=lambda one: one.name)
def test_licences_are_the_authors(one: Model) -> None:
    free = {"all-MiniLM-L6-v2", "jina-embeddings-v2-base-en"}
    if one.name.startswith(V4):
        # Its pages contradict one another; neither allows commercial use.
        assert "Qwen Research License" in one.card.licence
        assert "CC-BY-NC-4.0" in one.card.licence
    else:
        assert one.card.licence == ("Apache-2.0" if one.name in free else "CC-BY-NC-4.0")


def test_v4_says_what_its_authors_code_does() -> None:
    v4 = card(V4)
    assert [(task.name, task.prompt, task.role, task.adapter) for task in v4.tasks.tasks] == [
        ("retrieval.query", "Query: ", Role.QUERY, 0),
        ("retrieval.passage", "Passage: ", Role.DOCUMENT, 0),
        # Its texts are queries on both sides.
        ("text-matching", "Query: ", None, 1),
        ("code.query", "Query: ", Role.QUERY, 2),
        ("code.passage", "Passage: ", Role.DOCUMENT, 2),
    ]
    assert v4.tasks.default == "retrieval.passage"
    assert v4.triton.parameters == {"adapters": "retrieval,text-matching,code"}
    assert (v4.tokenizer.max_tokens, v4.tokenizer.pad_id) == (32768, 151643)
    assert (v4.embedding.dimensions, v4.embedding.token_dimensions, v4.embedding.pooling) == (2048, 128, "mean")
    assert v4.embedding.matryoshka == (128, 256, 512, 1024, 2048)
    assert v4.revision == "853c867b65b749f3c3c72a06868140d842e04f06"


@pytest.mark.parametrize("name", [V4, *(f"{V4}-vllm-{task}" for task in MERGED)])
def test_every_copy_of_v4_reads_an_image_in_the_same_way(name: str) -> None:
    images = card(name).images
    assert images is not None
    assert images.prompt == (
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>Describe the image.<|im_end|>\n"
    )
    assert images.pad_token == "<|image_pad|>"
    assert (images.unit_pixels, images.min_pixels, images.max_pixels) == (28, 3136, 602112)
    assert images.max_aspect_ratio == 200


@pytest.mark.parametrize(("task", "default"), MERGED.items())
def test_a_merged_checkpoint_is_v4_less_its_adapters(task: str, default: str) -> None:
    v4, merged = card(V4), model(f"{V4}-vllm-{task}")
    own = merged.card
    assert merged.hub_id == own.repository == f"jinaai/{V4}-vllm-{task}"
    assert own.tasks.default == default
    assert [(one.name, one.prompt, one.role) for one in own.tasks.tasks] == [
        (one.name, one.prompt, one.role) for one in v4.tasks.tasks if one.name.partition(".")[0] == task
    ]
    assert {one.adapter for one in own.tasks.tasks} == {0}
    assert own.embedding == replace(v4.embedding, token_dimensions=None)
    assert (own.tokenizer, own.batching) == (v4.tokenizer, v4.batching)
    assert own.triton.inputs == v4.triton.inputs
    assert set(v4.triton.outputs) - set(own.triton.outputs) == {v4.triton.output(OutputRole.TOKEN_VECTORS)}
    assert [file.path for file in own.files] == [file.path for file in v4.files if "adapters/" not in file.path]


def test_code_of_the_python_backend_is_the_same_for_all() -> None:
    coded = [one for one in SHIPPED.cards if not one.triton.has_graph]
    texts = {one.path_of("1/model.py").read_text(encoding="utf-8") for one in coded}
    assert (len(coded), len(texts)) == (4, 1)
    assert set(REPOSITORY.glob("*/1/model.py")) == {one.path_of("1/model.py") for one in coded}
