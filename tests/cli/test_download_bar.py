"""What a download leaves in a log, where no bar moves."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gateway.cli.download_bar import DownloadBar


@pytest.mark.parametrize(
    ("byte_count", "told"), [(0, "0.0 kB"), (280, "0.3 kB"), (17_082, "17.1 kB"), (2_269_998_080, "2270.0 MB")]
)
def test_the_size_of_a_small_file_is_not_zero(byte_count: int, told: str) -> None:
    stream = io.StringIO()
    with DownloadBar(Console(file=stream), title="a-model") as bar:
        bar.begin("1/config.json", total_bytes=byte_count)
        bar.advance(byte_count)
        bar.end()
    assert stream.getvalue() == f"a-model:\n1/config.json: {told}\n"


def test_of_several_files_each_is_counted_and_what_comes_after_them_is_told() -> None:
    stream = io.StringIO()
    with DownloadBar(Console(file=stream), title="a-model") as bar:
        bar.expect(["1/model.onnx", "1/tokenizer.json"])
        bar.expect(["1/model.onnx", "1/tokenizer.json", "1/model.onnx_data"])
        for label in ("1/model.onnx_data", "a-model.whl"):
            bar.begin(label, total_bytes=1_000, done_bytes=500)
            bar.end()
        bar.step("building the serving graph")
    assert stream.getvalue().splitlines() == [
        "a-model:",
        "file 3 of 3: 1/model.onnx_data: going on from 0.5 kB",
        "file 3 of 3: 1/model.onnx_data: 0.5 kB",
        "a-model.whl: going on from 0.5 kB",
        "a-model.whl: 0.5 kB",
        "building the serving graph ...",
    ]


def test_what_many_files_have_together_is_told_before_they_come() -> None:
    stream = io.StringIO()
    with DownloadBar(Console(file=stream), title="a-model") as bar:
        bar.expect(["1/model-00001-of-00002.safetensors", "1/config.json"], total_bytes=7_519_000_000)
        bar.begin("1/config.json", total_bytes=1_000)
        bar.end()
    assert stream.getvalue().splitlines() == [
        "a-model:",
        "7519.0 MB to fetch in all",
        "file 2 of 2: 1/config.json: 0.0 kB",
    ]


def test_on_a_terminal_of_80_columns_the_longest_file_is_named_in_full() -> None:
    stream = io.StringIO()
    with DownloadBar(Console(file=stream, force_terminal=True, width=80), title="a-model") as bar:
        bar.expect([str(number) for number in range(3)] + ["1/model_quantized.onnx"])
        bar.begin("1/model_quantized.onnx", total_bytes=2_270_000_000)
        bar.advance(1_000_000_000)
        bar.end()
        bar.step("measuring the known text")
    shown = stream.getvalue()
    assert "file 4 of 4: 1/model_quantized.onnx " in shown
    assert shown.rstrip().endswith("measuring the known text ...")
