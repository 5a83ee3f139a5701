"""What is generated from the settings and the routes is what is checked in, and says every setting."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from gateway.settings import FOREIGN_NAMES, Settings, environment_names

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
ENV_EXAMPLE = ROOT / ".env.example"
API_REFERENCE = ROOT / "docs/api-reference.md"


def check(folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "scripts/render_reference.py"), "--check"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_what_is_generated_is_current() -> None:
    result = check()
    assert result.returncode == 0, result.stdout


def test_the_check_notices_a_change(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "docs").mkdir()
    for name in (
        "scripts/render_reference.py",
        "README.md",
        "docs/operations.md",
        "docs/api-reference.md",
        ".env.example",
    ):
        (tmp_path / name).write_text((ROOT / name).read_text())
    assert check(tmp_path).returncode == 0
    (tmp_path / "README.md").write_text(README.read_text().replace("`GATEWAY_PORT`", "`GATEWAY_HARBOUR`"))
    (tmp_path / ".env.example").write_text("")
    (tmp_path / "docs/api-reference.md").write_text(
        API_REFERENCE.read_text().replace("POST /v2/embed`", "POST /v3/embed`")
    )
    result = check(tmp_path)
    assert result.returncode == 1
    assert "README.md is out of date" in result.stdout
    assert ".env.example is out of date" in result.stdout
    assert "api-reference.md is out of date" in result.stdout


def test_every_setting_is_described_and_listed_under_all_its_names() -> None:
    readme, example = README.read_text(), ENV_EXAMPLE.read_text()
    for field, info in Settings.model_fields.items():
        assert info.description, field
        for name in environment_names(field):
            assert f"`{name}`" in readme, name
        assert f"\n#{environment_names(field)[0]}=" in example


def test_no_foreign_name_belongs_to_a_setting_that_is_gone() -> None:
    assert set(FOREIGN_NAMES) <= set(Settings.model_fields)


def test_the_env_example_is_all_comments_and_its_values_are_the_defaults(tmp_path: Path) -> None:
    lines = ENV_EXAMPLE.read_text().splitlines()
    assert all(line.startswith("#") or not line for line in lines)
    values = tmp_path / "env"
    values.write_text("\n".join(line[1:] for line in lines if re.match(r"#GATEWAY_[A-Z_]+=.", line)))
    assert Settings(_env_file=values) == Settings(_env_file=None)  # type: ignore[call-arg]
