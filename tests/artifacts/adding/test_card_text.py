"""The card that is written says what was derived, in TOML that reads back, whatever texts are in it."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.artifacts.adding.card_text import card_text, toml_value
from gateway.artifacts.adding.outputs import VectorSource
from gateway.artifacts.adding.plan import GraphPlan, Plan
from gateway.artifacts.adding.published import Fact
from gateway.artifacts.adding.signature import GraphTensor
from gateway.artifacts.placing import Content
from gateway.cards.loading import load_model
from gateway.cards.schema import Role, TaskSpec, TaskTable
from gateway.cards.triton_spec import GraphInput, GraphOutput, InputRole, OutputRole, TensorSpec

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TABLE = TaskTable((TaskSpec("query", "Q: ", Role.QUERY), TaskSpec("plain", "")), default="plain")


def plan(*, table: TaskTable = TABLE, source: str = "somewhere", window: int = 512, licence: str = "MIT") -> Plan:
    graph = GraphPlan(
        file=Fact("onnx/model_fp16.onnx", "--variant"),
        published={"model_fp16.onnx": "onnx/model_fp16.onnx", "model_fp16.onnx_data": "onnx/model_fp16.onnx_data"},
        builder="serving",
        built="serving.onnx",
        config={"token_embeddings": "last_hidden_state"},
        inputs=(
            GraphInput(TensorSpec("input_ids", "TYPE_INT64", (-1, -1)), InputRole.TOKEN_IDS),
            GraphInput(TensorSpec("attention_mask", "TYPE_INT32", (-1, -1)), InputRole.ATTENTION_MASK),
        ),
        outputs=(GraphOutput(TensorSpec("token_embeddings", "TYPE_FP32", (-1, -1, 8)), OutputRole.TOKEN_EMBEDDINGS),),
        source=VectorSource(GraphTensor("h", "TYPE_FP16", None), Fact("max", "--pooling"), Fact(8, "config.json")),
        variant="fp16",
    )
    return Plan(
        name="model",
        hub_id="someone/model",
        repository="someone/model",
        revision=Fact("a" * 40, source),
        licence=Fact(licence, source),
        released=Fact(date(2025, 3, 4), source),
        tokenizer="0_T/tokenizer.json",
        max_tokens=Fact(window, source),
        pad_id=Fact(1, source),
        graph=graph,
        matryoshka=Fact((4, 8), "config.json"),
        tasks=Fact(table, "config_sentence_transformers.json"),
    )


def test_everything_derived_is_in_the_card(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    pins = {"1/model_fp16.onnx": Content(7, "b" * 64)}
    (folder / "card.toml").write_text(card_text(plan(), pins), encoding="utf-8")
    (card,) = load_model(folder).cards
    made = plan()
    assert (card.hub_id, card.repository, card.revision) == ("someone/model", "someone/model", "a" * 40)
    assert (card.licence, card.released) == ("MIT", date(2025, 3, 4))
    assert (card.tokenizer.file, card.tokenizer.max_tokens, card.tokenizer.pad_id) == ("1/tokenizer.json", 512, 1)
    assert (card.embedding.dimensions, card.embedding.pooling, card.embedding.matryoshka) == (8, "max", (4, 8))
    assert card.tasks == TABLE
    assert (card.triton.inputs, card.triton.outputs) == (made.graph.inputs, made.graph.outputs)
    assert (card.triton.default_model_filename, card.triton.instance_kind) == ("serving.onnx", "KIND_AUTO")
    assert [(file.path, file.hub_path, file.variant, file.sha256) for file in card.files] == [
        ("1/tokenizer.json", "0_T/tokenizer.json", None, None),
        ("1/model_fp16.onnx", "onnx/model_fp16.onnx", "fp16", "b" * 64),
        ("1/model_fp16.onnx_data", "onnx/model_fp16.onnx_data", "fp16", None),
        ("1/serving.onnx", None, None, None),
    ]
    assert card.canary.expected == ()


def test_every_value_says_where_it_came_from() -> None:
    text = card_text(plan(source="somewhere/config.json"), {})
    for key in ("revision", "licence", "released", "max_tokens", "pad_id"):
        line = next(place for place, line in enumerate(text.splitlines()) if line.startswith(f"{key} = "))
        assert text.splitlines()[line - 1] == "# Source: somewhere/config.json."


def test_only_a_long_window_gives_memory_back_after_every_call() -> None:
    assert "triton" in tomllib.loads(card_text(plan(), {}))
    assert "parameters" not in tomllib.loads(card_text(plan(window=2047), {}))["triton"]
    assert "parameters" in tomllib.loads(card_text(plan(window=2048), {}))["triton"]


@given(TEXTS.filter(str.strip), TEXTS, TEXTS)
def test_texts_of_any_kind_read_back_and_break_no_comment(name: str, prompt: str, source: str) -> None:
    table = TaskTable((TaskSpec(name, prompt), TaskSpec("other", "x")), default=name) if name != "other" else TABLE
    card = tomllib.loads(card_text(plan(table=table, source=source, licence=prompt), {}))
    assert card["tasks"]["list"][0] == {"name": name, "prompt": prompt} or name == "other"
    assert card["licence"] == prompt


@given(st.one_of(TEXTS, st.integers(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.dates()))
def test_values_read_back(value: str | int | float | bool | date) -> None:
    assert tomllib.loads(f"x = {toml_value(value)}")["x"] == value
