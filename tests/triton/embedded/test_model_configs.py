from __future__ import annotations

from pathlib import Path

import pytest

from gateway.triton.embedded.model_configs import has_python_models, need_auto_completion
from tests.support import graphs

FULL = graphs.full_config(graphs.dense())


@pytest.mark.parametrize(
    ("config", "needed"),
    [
        (FULL, False),
        (FULL + 'a_field_of_a_later_release: "x"\n', False),
        ('backend: "onnxruntime"\n', True),
        (FULL.replace("output [", "ignored_by_nobody ["), True),
        ("not a config {", True),
        ("", True),
        (None, True),
    ],
)
def test_auto_completion_is_needed_unless_inputs_and_outputs_are_stated(
    tmp_path: Path, config: str | None, needed: bool
) -> None:
    for name, text in (("whole", FULL), ("asked", config)):
        (tmp_path / name).mkdir()
        if text is not None:
            (tmp_path / name / "config.pbtxt").write_text(text)
    assert need_auto_completion(tmp_path, ["whole", "asked"]) is needed
    assert need_auto_completion(tmp_path, ["whole"]) is False


def test_models_of_the_python_backend_are_told_from_others(tmp_path: Path) -> None:
    for name, text in (("graph", FULL), ("program", 'backend: "python"\n'), ("broken", "not a config {")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.pbtxt").write_text(text)
    assert has_python_models(tmp_path, ["graph", "program"])
    assert not has_python_models(tmp_path, ["graph", "broken", "absent"])
