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
    with DownloadBar(Console(file=stream)) as bar:
        bar.begin("1/config.json", total_bytes=byte_count)
        bar.advance(byte_count)
        bar.end()
    assert stream.getvalue() == f"1/config.json: {told}\n"
