"""Whatever stands in a repository's small files: a refusal in words, or a card that can be read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.artifacts.adding.card_text import card_text
from gateway.artifacts.adding.deriving import derive
from gateway.artifacts.adding.plan import AddOptions
from gateway.artifacts.adding.published import Published
from gateway.cards.loading import CARD_FILE, load_card
from gateway.errors import SetupError
from tests.support.published import published
from tests.support.twins import generic
from tests.support.twins.twin import Twin
from tests.support.twins.variations import GRAPH, changed

# Per file every key that is read anywhere, "*" for those of its entries.
KEYS: Mapping[str, tuple[str, ...]] = {
    "modules.json": ("type", "path", "name", "idx"),
    "1_Pooling/config.json": (
        "pooling_mode", "include_prompt", "embedding_dimension", "word_embedding_dimension", "pooling_mode_cls_token",
    ),
    "2_Normalize/config.json": ("module_input_name", "module_output_name"),
    "config_sentence_transformers.json": (
        "model_type", "prompts", "default_prompt_name", "similarity_fn_name", "truncate_dim",
    ),
    "config.json": (
        "model_type", "architectures", "hidden_size", "max_position_embeddings", "vocab_size", "pad_token_id",
        "matryoshka_dimensions", "text_config", "position_embedding_type", "is_causal", "auto_map", "is_decoder",
        "hidden_act", "intermediate_size", "layer_norm_eps", "num_attention_heads", "num_hidden_layers",
        "type_vocab_size",
    ),
    "sentence_bert_config.json": (
        "transformer_task", "modality_config", "processing_kwargs", "max_seq_length", "do_lower_case",
        "processor_kwargs", "tokenizer_args",
    ),
    "tokenizer_config.json": (
        "model_max_length", "tokenizer_class", "do_lower_case", "pad_token", "add_bos_token", "add_eos_token",
        "bos_token", "eos_token", "auto_map", "truncation_side",
    ),
    "tokenizer.json": (
        "normalizer", "model", "pre_tokenizer", "post_processor", "added_tokens", "truncation", "padding", "decoder",
    ),
}  # fmt: skip
WORDS = (
    "", "..", "/", "a/../../b", "\x00", "\x1b[31m", "\ud800", "'''\"\\", "x" * 5000, "text", "common", "mean", "cls",
    "pooling_mode", "max_length", "content", "type", "Lowercase", "Sequence", "normalizers", "method_output_name",
    "query", "document", "[PAD]", "model_max_length", "no", "\u2028\n\r",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 24, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan"), True, False)
LEAVES = st.one_of(
    st.none(), st.sampled_from(NUMBERS), st.integers(), st.floats(), st.sampled_from(WORDS), st.text(max_size=8)
)
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
SIMPLE: tuple[object, ...] = (
    *NUMBERS,
    *WORDS,
    None,
    [],
    {},
    [None],
    [[]],
    [{}],
    {"": None},
    ["x"],
    {"x": "y"},
    [1, "x"],
    {"text": 3},
)


def with_value(twin: Twin, path: str, key: str, value: object) -> dict[str, bytes | None]:
    """The file with `value` at `key`, in each of its entries where it is a list."""
    document = json.loads(twin.files.get(path) or b"{}")
    for entry in document if isinstance(document, list) else [document]:
        entry[key] = value
    return {path: json.dumps(document).encode()}


def check_in_words(twin: Twin, files: Mapping[str, bytes | None]) -> None:
    repository = published(dict(changed(twin, "someone/model", files).files))
    with TemporaryDirectory() as folder:
        refusal = _refusal(repository, Path(folder))
    if refusal is not None:
        assert 0 < len(refusal.message) < 1500
        assert refusal.message.isprintable()


def _refusal(repository: Published, folder: Path) -> SetupError | None:
    try:
        plan = derive(
            repository,
            AddOptions(),
            name="model",
            hub_id="someone/model",
            fetch=lambda path: _fetched(folder, repository, path),
        )
        (folder / "model").mkdir()
        (folder / "model" / CARD_FILE).write_text(card_text(plan, {}), encoding="utf-8", newline="\n")
        load_card(folder / "model")
    except SetupError as error:
        return error
    return None


def _fetched(folder: Path, repository: Published, path: str) -> Path:
    file = folder / path.rpartition("/")[2]
    file.write_bytes(repository.read(path))
    return file


@pytest.mark.parametrize(("path", "key"), [(path, key) for path, keys in KEYS.items() for key in keys])
def test_no_value_of_a_wrong_kind_goes_through(path: str, key: str) -> None:
    for value in SIMPLE:
        check_in_words(generic.mean(), with_value(generic.mean(), path, key, value))


@pytest.mark.parametrize("key", KEYS["config.json"])
def test_nor_where_the_graph_is_built_from_weights(key: str) -> None:
    for value in SIMPLE:
        twin = generic.token_types()
        check_in_words(twin, {GRAPH: None, **with_value(twin, "config.json", key, value)})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    where=st.sampled_from([(path, key) for path, keys in KEYS.items() for key in (*keys, None)]),
    value=ANY_JSON,
)
def test_any_json_in_any_file(where: tuple[str, str | None], value: object) -> None:
    path, key = where
    twin = generic.mean()
    whole = {path: json.dumps(value).encode()}
    check_in_words(twin, whole if key is None else with_value(twin, path, key, value))


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe", b"[" * 200_000, b'{"a":' * 200_000, b"9" * 10_000, b"\xef\xbb\xbf{}"]
)
@pytest.mark.parametrize("path", KEYS)
def test_no_file_that_is_no_json(path: str, data: bytes) -> None:
    check_in_words(generic.mean(), {path: data})
