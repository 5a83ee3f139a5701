"""What stands behind a key in the keys' file, and that no part of a key is told when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import ConfigurationError
from gateway.middleware.api_keys import ApiKey, parse_key_line, read_key_file
from gateway.types import KeyDefaults


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("abc", ApiKey("abc")),
        ("  abc=d  ", ApiKey("abc=d")),
        ("abc model=m", ApiKey("abc", KeyDefaults(model="m"))),
        ("abc\ttask=retrieval.query", ApiKey("abc", KeyDefaults(task="retrieval.query"))),
        ("abc task=query model=jinaai/x=y", ApiKey("abc", KeyDefaults("jinaai/x=y", "query"))),
        ("abc weight=3", ApiKey("abc", weight=3.0)),
        ("with space weight=0.5 model=m", ApiKey("with space", KeyDefaults(model="m"), 0.5)),
        ("weight=7", ApiKey("weight=7")),
        ("model=a task=b", ApiKey("model=a", KeyDefaults(task="b"))),
    ],
)
def test_lines(line: str, key: ApiKey) -> None:
    assert parse_key_line(line, where="Line 1") == key


@pytest.mark.parametrize(
    "words", ["model=", "model=a model=b", "weight=", "weight=0", "weight=nan", "weight=1 weight=2"]
)
def test_what_is_wrong_is_told_without_the_key(words: str) -> None:
    with pytest.raises(ConfigurationError, match="Line 7") as caught:
        parse_key_line(f"secret-1 {words}", where="Line 7 of a file")
    assert "secret" not in f"{caught.value.message} {caught.value.remedy}"


def test_the_mark_that_some_editors_begin_a_file_with_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes("first\nsecond model=m\n".encode("utf-8-sig"))
    assert read_key_file(tmp_path / "keys") == [ApiKey("first"), ApiKey("second", KeyDefaults(model="m"))]
