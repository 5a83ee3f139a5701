"""A whole repository to a plan: what outranks what, and which weights a graph is built for here."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import onnx
import pytest

from gateway.artifacts.adding.deriving import derive
from gateway.artifacts.adding.plan import AddOptions, Plan
from gateway.artifacts.adding.published import Published
from gateway.artifacts.adding.refusal import CannotServe
from tests.support.published import published
from tests.support.tiny_bert import safetensors_bytes
from tests.support.twins import generic
from tests.support.twins.generic_bert import HIDDEN
from tests.support.twins.tokenizer_files import json_file
from tests.support.twins.twin import Twin
from tests.support.twins.variations import DENSE, GRAPH, changed, dense_inside
from tests.support.twins.wiring import with_external_data

SENTENCE = "config_sentence_transformers.json"
WEIGHTS = "model.safetensors"


def plan(
    tmp_path: Path, twin: Twin, files: dict[str, bytes | None] | None = None, options: AddOptions | None = None
) -> Plan:
    repository = published(dict(changed(twin, "someone/model", files or {}).files))
    return derive(
        repository,
        options or AddOptions(),
        name="model",
        hub_id="someone/model",
        fetch=lambda path: fetched(tmp_path, repository, path),
    )


def fetched(tmp_path: Path, repository: Published, path: str) -> Path:
    file = tmp_path / path.rpartition("/")[2]
    file.write_bytes(repository.read(path))
    return file


def config(**changes: object) -> bytes:
    return json_file({**json.loads(generic.mean().files["config.json"]), **changes})


def weights_alone(**changes: object) -> dict[str, bytes | None]:
    return {GRAPH: None, "config.json": config(**changes)}


def test_plain_bert_is_served_from_its_weights(tmp_path: Path) -> None:
    made = plan(tmp_path, generic.token_types(), weights_alone())
    assert (made.graph.builder, made.graph.weights, made.graph.built) == ("bert", "1/model.safetensors", "model.onnx")
    assert [one.tensor.name for one in made.graph.outputs] == ["sentence_embedding", "last_hidden_state"]
    assert made.graph.config["num_attention_heads"] == 4
    assert made.published == {"1/tokenizer.json": "tokenizer.json", "1/model.safetensors": WEIGHTS}


def test_other_poolings_of_it_are_made_from_its_token_vectors(tmp_path: Path) -> None:
    made = plan(tmp_path, generic.token_types(), weights_alone(), AddOptions(pooling="cls"))
    assert [one.tensor.name for one in made.graph.outputs] == ["last_hidden_state"]


def test_bert_without_a_line_has_what_transformers_assumes(tmp_path: Path) -> None:
    own = json.loads(config())
    del own["type_vocab_size"], own["layer_norm_eps"], own["hidden_act"], own["position_embedding_type"]
    made = plan(tmp_path, generic.token_types(), {GRAPH: None, "config.json": json_file(own)})
    assert (made.graph.config["type_vocab_size"], made.graph.config["layer_norm_eps"]) == (2, 1e-12)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"model_type": "roberta"}, "built here for plain BERT alone"),
        ({"is_decoder": True}, "built here for plain BERT alone"),
        ({"auto_map": {"AutoModel": "own.Model"}}, "built here for plain BERT alone"),
        ({"hidden_act": "relu"}, r"no graph can be built around model\.safetensors: .*relu"),
        ({"position_embedding_type": "alibi"}, r"no graph can be built around .*alibi"),
        ({"num_hidden_layers": 3}, r"has no tensor encoder\.layer\.2"),
    ],
)
def test_what_only_looks_like_plain_bert_is_not_built(tmp_path: Path, changes: dict[str, object], why: str) -> None:
    with pytest.raises(CannotServe, match=why) as caught:
        plan(tmp_path, generic.token_types(), weights_alone(**changes))
    assert "optimum-cli export onnx" in (caught.value.remedy or "")


def test_weights_under_another_prefix_are_not_built(tmp_path: Path) -> None:
    prefixed = {f"bert.{name}": np.asarray(array) for name, array in generic.token_types().weights.items()}
    with pytest.raises(CannotServe, match="has no tensor"):
        plan(tmp_path, generic.token_types(), {**weights_alone(), WEIGHTS: safetensors_bytes(prefixed)})


def test_sizes_to_cut_to_are_the_configs_or_what_its_authors_cut_to(tmp_path: Path) -> None:
    made = plan(tmp_path, generic.mean(), {"config.json": config(matryoshka_dimensions=[8, 16, 99])})
    assert made.matryoshka.value == (8, 16)
    made = plan(tmp_path, generic.mean(), {SENTENCE: json_file({"truncate_dim": 12})})
    assert (made.matryoshka.value, made.matryoshka.source) == ((12, 24), SENTENCE)
    assert plan(tmp_path, generic.mean()).matryoshka.value == ()


def test_a_stated_pooling_opens_a_model_that_leaves_prompts_out_but_not_one_with_prompts(tmp_path: Path) -> None:
    files: dict[str, bytes | None] = {generic.POOLING: json_file({"pooling_mode": "mean", "include_prompt": False})}
    assert plan(tmp_path, generic.mean(), files, AddOptions(pooling="mean")).graph.source.pooling.value == "mean"
    files[SENTENCE] = json_file({"prompts": {"query": "find: "}})
    with pytest.raises(CannotServe, match="has prompts: with them"):
        plan(tmp_path, generic.mean(), files, AddOptions(pooling="mean"))


def test_a_released_day_is_the_hubs_or_that_of_adding(tmp_path: Path) -> None:
    assert "the day of adding" in plan(tmp_path, generic.mean()).released.source
    repository = published(dict(generic.mean().files))
    dated = replace(repository, listing=replace(repository.listing, created=date(2024, 2, 1)))
    made = derive(dated, AddOptions(), name="m", hub_id="m", fetch=lambda path: fetched(tmp_path, dated, path))
    assert made.released.value == date(2024, 2, 1)


@pytest.mark.parametrize("name", ["tokenizer.json", "serving.onnx", "files.lock.json"])
def test_a_published_file_does_not_take_the_name_of_ours(tmp_path: Path, name: str) -> None:
    path = f"onnx/{name}"
    files: dict[str, bytes | None] = {GRAPH: None, path: generic.mean().files[GRAPH]}
    if not name.endswith(".onnx"):
        graph, data = with_external_data(onnx.ModelProto.FromString(generic.mean().files[GRAPH]), name)
        files = {GRAPH: graph, path: data}
    with pytest.raises(CannotServe, match="has the name of a file that is put into 1/ here"):
        plan(tmp_path, generic.mean(), files)


def test_a_dense_stage_that_only_fits_by_its_size_is_not_taken_to_be_in_the_graph(tmp_path: Path) -> None:
    inside = dense_inside()
    assert plan(tmp_path, inside).graph.source.dimensions.value == DENSE
    square = {"in_features": HIDDEN, "out_features": HIDDEN}
    files: dict[str, bytes | None] = {
        "modules.json": inside.files["modules.json"],
        "2_Dense/config.json": json_file(square),
    }
    with pytest.raises(CannotServe, match=r"pass a Dense stage \(2_Dense\)"):
        plan(tmp_path, generic.pooled_output(), files)
