"""config.json in the layouts that there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.python_backend.faults import LoadError
from gateway.python_backend.network_config import read_network_config
from tests.support.twins import v4

FLAT = dict(v4.build().config)
TEXT = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("vocab_size", "rms_norm_eps", "hidden_act", "use_sliding_window", "sliding_window"),
)


def read(folder: Path, config: dict[str, Any]) -> Any:
    file = folder / "config.json"
    file.write_text(json.dumps(config))
    return read_network_config(file)


def nested() -> dict[str, Any]:
    """As newer versions write it: the text's settings by themselves, positions among them."""
    text = {name: FLAT[name] for name in TEXT}
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e6}
    rest = {name: value for name, value in FLAT.items() if name not in (*TEXT, "rope_scaling", "rope_theta")}
    return {**rest, "text_config": {**text, "rope_parameters": rope, "model_type": "qwen2_5_vl_text"}}


@pytest.mark.parametrize("layout", ["flat", "mrope", "nested", "own type"])
def test_every_layout_says_the_same(tmp_path: Path, layout: str) -> None:
    given: dict[str, Any] = {
        "flat": FLAT,
        "mrope": {**FLAT, "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}},
        "nested": nested(),
        "own type": {**FLAT, "model_type": "somebodys", "auto_map": {"AutoModel": "evil.Code"}, "architectures": ["X"]},
    }[layout]
    config = read(tmp_path, given)
    text, vision = config.text_config, config.vision_config
    assert {name: getattr(text, name) for name in TEXT if "sliding" not in name} == {
        name: FLAT[name] for name in TEXT if "sliding" not in name
    }
    assert text.sliding_window is None
    rope = text.rope_parameters
    assert (rope["rope_type"], rope["rope_theta"], list(rope["mrope_section"])) == ("default", 1e6, [2, 3, 3])
    assert (vision.depth, vision.hidden_size, vision.out_hidden_size, vision.num_heads) == (4, 32, 64, 2)
    assert list(vision.fullatt_block_indexes) == [1, 3]
    assert config.image_token_id == FLAT["image_token_id"]
    assert (config.vision_start_token_id, config.vision_end_token_id) == (
        FLAT["vision_start_token_id"],
        FLAT["vision_end_token_id"],
    )


def test_another_frequency_is_heard(tmp_path: Path) -> None:
    assert read(tmp_path, {**FLAT, "rope_theta": 5e5}).text_config.rope_parameters["rope_theta"] == 5e5


def test_the_older_word_for_colours(tmp_path: Path) -> None:
    vision: dict[str, Any] = dict(FLAT["vision_config"])  # type: ignore[call-overload]
    older = {name: value for name, value in vision.items() if name != "in_channels"} | {"in_chans": 4}
    assert read(tmp_path, {**FLAT, "vision_config": older}).vision_config.in_channels == 4
    both = {**vision, "in_channels": 3, "in_chans": 4}
    assert read(tmp_path, {**FLAT, "vision_config": both}).vision_config.in_channels == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"use_sliding_window": True}, "sliding-window"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "'yarn'"),
        ({"vision_config": None}, "no Qwen2.5-VL"),
        ({"hidden_size": None}, "no Qwen2.5-VL"),
        ({"num_hidden_layers": "two"}, "cannot be used"),
    ],
)
def test_what_is_not_computed_here_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(LoadError, match=words):
        read(tmp_path, {**FLAT, **change})


@pytest.mark.parametrize(("content", "words"), [(b"{", "not JSON"), (b"[]", "not a JSON object"), (None, "cannot be")])
def test_a_file_that_is_none(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(LoadError, match=words):
        read_network_config(tmp_path / "config.json")
