"""tokenizer.json alone has to give the authors' ids; every setting beside it that would change them is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from gateway.artifacts.adding import tokenizer_checks
from gateway.artifacts.adding.model_config import ModelConfig
from gateway.artifacts.adding.published import Document, Fact
from gateway.artifacts.adding.refusal import CannotServe
from gateway.artifacts.adding.tokenizer_checks import check_tokenizer, choose_pad_id, find_tokenizer
from tests.support.published import published
from tests.support.twins import generic

VOCABULARY = {"[PAD]": 0, "<s>": 1, "</s>": 2, "[UNK]": 3, "a": 4, "probe": 5, "<pad>": 6}


def tokenizer(*, lower: bool = False, start: bool = True, end: bool = True, type_id: int = 0) -> Tokenizer:
    made = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if lower:
        made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    template = " ".join(["<s>"] * start + [f"$A:{type_id}"] + ["</s>"] * end)
    made.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("<s>", 1), ("</s>", 2)])
    made.enable_truncation(max_length=3)
    made.enable_padding(length=7)
    return made


def check(
    tmp_path: Path,
    made: Tokenizer,
    config: dict[str, object] | None = None,
    *,
    stage: dict[str, object] | None = None,
    feeds_types: bool = False,
) -> Tokenizer:
    file = tmp_path / "tokenizer.json"
    file.write_text(made.to_str(), encoding="utf-8")
    return check_tokenizer(
        file, config=Fact(config or {}, "tokenizer_config.json"), stage=Fact(stage or {}, "s"), feeds_types=feeds_types
    )


def test_it_is_looked_for_beside_the_transformer() -> None:
    config: Fact[dict[str, object]] = Fact({}, "tokenizer_config.json")
    assert find_tokenizer(published({"0_T/tokenizer.json": {}}), "0_T", config) == "0_T/tokenizer.json"
    with pytest.raises(CannotServe, match=r"no tokenizer\.json: it has its tokenizer in another form") as caught:
        find_tokenizer(published({"vocab.txt": b""}), "", config)
    assert "save_pretrained" in (caught.value.remedy or "")
    own = {"auto_map": {"AutoTokenizer": ["tokenization_own.OwnTokenizer", None]}}
    with pytest.raises(CannotServe, match="code of the repository's own, which is not run"):
        find_tokenizer(published({"tokenization_own.py": b""}), "", Fact(own, "tokenizer_config.json"))


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"model": 7}', encoding="utf-8")
    empty: Fact[dict[str, object]] = Fact({}, "x")
    with pytest.raises(CannotServe, match=r"tokenizer\.json cannot be loaded"):
        check_tokenizer(tmp_path / "tokenizer.json", config=empty, stage=empty, feeds_types=False)


@pytest.mark.parametrize("lower", [True, False])
def test_lower_casing_has_to_be_in_the_file(tmp_path: Path, lower: bool) -> None:
    made = tokenizer(lower=lower)
    if lower:
        check(tmp_path, made, stage={"do_lower_case": True})
    else:
        with pytest.raises(CannotServe, match=r"^s says that texts are lower-cased first"):
            check(tmp_path, made, stage={"do_lower_case": True})
    check(tmp_path, made, stage={"do_lower_case": False})


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("kind", ["BertTokenizer", "BertTokenizerFast", "MPNetTokenizer"])
def test_transformers_would_follow_its_own_flag_for_case(tmp_path: Path, lower: bool, kind: str) -> None:
    made = tokenizer(lower=lower)
    check(tmp_path, made, {"tokenizer_class": kind, "do_lower_case": lower})
    check(tmp_path, made, {"tokenizer_class": kind})
    check(tmp_path, made, {"tokenizer_class": "XLMRobertaTokenizer", "do_lower_case": not lower})
    with pytest.raises(CannotServe, match=r"tokenizer\.json does the opposite"):
        check(tmp_path, made, {"tokenizer_class": kind, "do_lower_case": not lower})


def test_berts_own_normalizer_counts_as_lower_casing(tmp_path: Path) -> None:
    made = tokenizer()
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    check(tmp_path, made, stage={"do_lower_case": True})


@pytest.mark.parametrize("eos", ["</s>", {"content": "</s>", "lstrip": False}])
def test_an_end_token_that_only_transformers_would_add_is_refused(tmp_path: Path, eos: object) -> None:
    flags = {"add_eos_token": True, "eos_token": eos, "tokenizer_class": "LlamaTokenizerFast"}
    check(tmp_path, tokenizer(end=True), flags)
    with pytest.raises(CannotServe, match=r"add_eos_token = true, and tokenizer\.json does not put it there"):
        check(tmp_path, tokenizer(end=False), flags)


def test_a_start_token_that_only_transformers_would_leave_out_is_refused(tmp_path: Path) -> None:
    flags = {"add_bos_token": False, "bos_token": "<s>"}
    check(tmp_path, tokenizer(start=False), {**flags, "tokenizer_class": "LlamaTokenizer"})
    check(tmp_path, tokenizer(start=True), {**flags, "tokenizer_class": "PreTrainedTokenizerFast"})
    with pytest.raises(CannotServe, match=r"add_bos_token = false, and tokenizer\.json puts one there"):
        check(tmp_path, tokenizer(start=True), {**flags, "tokenizer_class": "LlamaTokenizer"})


def test_token_types_other_than_zero_are_refused_where_the_graph_takes_them(tmp_path: Path) -> None:
    check(tmp_path, tokenizer(type_id=1))
    check(tmp_path, tokenizer(), feeds_types=True)
    with pytest.raises(CannotServe, match="another token type than 0"):
        check(tmp_path, tokenizer(type_id=1), feeds_types=True)


@pytest.mark.parametrize(
    ("config", "model_id", "pad_id", "source"),
    [
        ({"pad_token": "<pad>"}, 0, 6, "tokenizer_config.json: <pad>"),
        ({"pad_token": {"content": "<pad>"}}, None, 6, "tokenizer_config.json: <pad>"),
        ({"pad_token": "nope"}, 2, 2, "config.json"),
        ({}, 1, 1, "config.json"),
        ({}, 700, 0, "no padding token is stated"),
        ({}, None, 0, "no padding token is stated"),
    ],
)
def test_the_padding_id_is_one_of_the_vocabulary(
    config: dict[str, object], model_id: int | None, pad_id: int, source: str
) -> None:
    model = ModelConfig("config.json", {}, pad_token_id=model_id)
    found = choose_pad_id(tokenizer(), config=Fact(config, "tokenizer_config.json"), model=model)
    assert found.value == pad_id
    assert found.source.startswith(source)


def test_a_pattern_that_takes_for_ever_and_a_file_that_fills_the_memory_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tokenizer.json"
    document = json.loads(generic.mean().files["tokenizer.json"])
    pattern = {"Regex": "([a-z ]+)+[A-Z]{3}$"}
    split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    file.write_text(json.dumps({**document, "pre_tokenizer": split}))
    nothing: Fact[Document] = Fact({}, "")
    with pytest.raises(CannotServe, match="retry-limit-in-match"):
        check_tokenizer(file, config=nothing, stage=nothing, feeds_types=False)
    monkeypatch.setattr(tokenizer_checks, "MAX_TOKENIZER_BYTES", 100)
    with pytest.raises(CannotServe, match="too many for a vocabulary"):
        check_tokenizer(file, config=nothing, stage=nothing, feeds_types=False)
