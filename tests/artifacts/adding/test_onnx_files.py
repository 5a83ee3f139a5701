"""Which ONNX file is taken, and what is offered where that is not clear."""

from __future__ import annotations

import re

import pytest

from gateway.artifacts.adding.onnx_files import OnnxChoice, choose_onnx, no_weights
from gateway.artifacts.adding.refusal import CannotServe
from tests.support.published import published

USUAL = ["onnx/model.onnx", "onnx/model_fp16.onnx", "onnx/model_O4.onnx", "model.onnx", "model_int8.onnx"]


def choose(
    paths: list[str], *, folder: str = "", file: str | None = None, variant: str | None = None
) -> OnnxChoice | None:
    return choose_onnx(published(dict.fromkeys(paths, b"")), folder, file=file, variant=variant)


@pytest.mark.parametrize(
    ("paths", "folder", "path", "variant"),
    [
        (USUAL, "", "onnx/model.onnx", "fp32"),
        (["model.onnx", "model_int8.onnx"], "", "model.onnx", "fp32"),
        (["0_T/onnx/model.onnx", "model.onnx"], "0_T", "0_T/onnx/model.onnx", "fp32"),
        (["model_optimized.onnx"], "", "model_optimized.onnx", "optimized"),
        (["graphs/encoder.onnx"], "", "graphs/encoder.onnx", None),
    ],
)
def test_the_usual_place_or_the_only_file(paths: list[str], folder: str, path: str, variant: str | None) -> None:
    found = choose(paths, folder=folder)
    assert found is not None
    assert (found.path.value, found.variant) == (path, variant)


def test_no_file_at_all_is_for_others_to_judge() -> None:
    assert choose(["pytorch_model.bin", "openvino/openvino_model.xml"]) is None


@pytest.mark.parametrize(
    ("variant", "path"), [("fp16", "onnx/model_fp16.onnx"), ("int8", "model_int8.onnx"), ("fp32", "onnx/model.onnx")]
)
def test_a_variant_is_found_by_its_word_in_any_case(variant: str, path: str) -> None:
    found = choose(USUAL, variant=variant.upper())
    assert found is not None
    assert (found.path.value, found.path.source, found.variant) == (path, "--variant", variant)


def test_a_file_is_taken_by_its_path_and_only_such_words_as_pull_takes_are_variants() -> None:
    found = choose(USUAL, file="onnx/model_O4.onnx")
    assert found is not None
    assert (found.path.value, found.variant) == ("onnx/model_O4.onnx", None)


@pytest.mark.parametrize(
    ("paths", "wishes", "why", "offer"),
    [
        (["a.onnx", "b/c.onnx"], {}, "has 2 ONNX files, none of them at the usual", r"--file a\.onnx \| b/c\.onnx\."),
        (["onnx/model_a.onnx", "onnx/model_b.onnx"], {}, "has 2 ONNX files", r"or --variant a \| b\."),
        (USUAL, {"variant": "q4"}, "no ONNX file of the variant q4", r"--variant fp32 \| O4 \| fp16 \| int8\."),
        (USUAL, {"file": "nope.onnx"}, r"no ONNX file nope\.onnx", "Name one with --file"),
        ([], {"file": "model.onnx"}, "no ONNX file", "no ONNX file at all"),
    ],
)
def test_what_is_not_clear_is_asked_with_what_there_is(
    paths: list[str], wishes: dict[str, str], why: str, offer: str
) -> None:
    with pytest.raises(CannotServe, match=why) as caught:
        choose(paths, **wishes)
    assert re.search(offer, caught.value.remedy or "")


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (["pytorch_model.bin"], r"pytorch_model\.bin alone: a pickle"),
        (["model.safetensors", "pytorch_model.bin"], "built here for plain BERT alone"),
        (["README.md"], r"It publishes no ONNX file\.$"),
    ],
)
def test_what_cannot_be_served_from_is_named(paths: list[str], why: str) -> None:
    error = no_weights(published(dict.fromkeys(paths, b"")))
    assert re.search(why, error.message)
    assert "optimum-cli export onnx --model someone/model" in (error.remedy or "")
