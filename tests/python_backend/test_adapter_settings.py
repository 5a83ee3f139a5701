"""adapter_config.json: what it says, and what of it would change results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.python_backend.adapter_settings import AdapterSettings, read_adapter_settings
from gateway.python_backend.faults import LoadError

PLAIN = {"peft_type": "LORA", "r": 16, "lora_alpha": 8, "bias": "none", "init_lora_weights": "gaussian"}
# As newer versions write them all, at values that change nothing.
HARMLESS = {
    **{"use_dora": False, "use_rslora": False, "lora_bias": False, "rank_pattern": {}, "alpha_pattern": {}},
    **{"modules_to_save": None, "layer_replication": None, "fan_in_fan_out": False, "lora_dropout": 0.1},
    **{"qalora_group_size": 16, "use_qalora": False, "target_parameters": None, "loftq_config": {}},
}


def read(folder: Path, **changes: object) -> AdapterSettings:
    (folder / "adapter_config.json").write_text(json.dumps({**PLAIN, **changes}))
    return read_adapter_settings(folder / "adapter_config.json")


def test_scaling(tmp_path: Path) -> None:
    assert read(tmp_path) == AdapterSettings(rank=16, scaling=0.5)
    assert read(tmp_path, use_rslora=True) == AdapterSettings(rank=16, scaling=2.0)
    assert read(tmp_path, **HARMLESS) == AdapterSettings(rank=16, scaling=0.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("use_dora", True), ("bias", "all"), ("bias", "lora_only"), ("lora_bias", True), ("fan_in_fan_out", True)],
        *[("rank_pattern", {"q_proj": 4}), ("alpha_pattern", {"q_proj": 4}), ("modules_to_save", ["norm"])],
        *[("layer_replication", [[0, 2]]), ("use_qalora", True), ("target_parameters", ["w"])],
        *[("init_lora_weights", "pissa"), ("init_lora_weights", "pissa_niter_4"), ("init_lora_weights", "OLoRA")],
    ],
)
def test_what_would_change_results_is_refused_by_name(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(LoadError, match=name):
        read(tmp_path, **{name: value})


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"peft_type": "IA3"}, "IA3"), ({"r": None}, "no rank"), ({"r": 0}, "no rank"), ({"lora_alpha": None}, "alpha")],
)
def test_what_is_no_such_adapter(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(LoadError, match=words):
        read(tmp_path, **changes)
