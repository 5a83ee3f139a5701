"""How `gateway models list` lays its table out: names are for typing again, so none is ever cut."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from gateway.cards.registry import Registry
from gateway.cli.model_list import _print_table, _row, standing

REPOSITORY = Path(__file__).parents[2] / "model_repository"
MODELS = Registry.from_repository(REPOSITORY).models
ROWS = [_row(model, [standing(card, frozenset()) for card in model.cards]) for model in MODELS]


def shown(*, width: int, terminal: bool) -> str:
    stream = io.StringIO()
    _print_table(ROWS, Console(file=stream, width=width, force_terminal=terminal, color_system=None))
    return stream.getvalue()


def lines_of_models(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(tuple(model.name for model in MODELS))]


@pytest.mark.parametrize(("width", "terminal"), [(40, False), (80, False), (80, True), (120, True), (200, True)])
def test_every_name_is_there_in_full(width: int, terminal: bool) -> None:
    text = shown(width=width, terminal=terminal)
    assert [line.split()[0] for line in lines_of_models(text)] == [model.name for model in MODELS]
    assert "…" not in text


def test_eighty_columns_hold_every_line_and_say_what_is_left_out() -> None:
    text = shown(width=80, terminal=True)
    assert max(map(len, text.splitlines())) <= 80
    assert "  -retrieval " in text
    assert "Licences and tasks: --json" in text


def test_a_wide_window_and_a_pipe_show_everything() -> None:
    for text in (shown(width=200, terminal=True), shown(width=80, terminal=False)):
        assert "CC-BY-NC-4.0" in text
        assert "  jina-embeddings-v5-text-nano-retrieval " in text
        assert "--json" not in text


def test_a_long_licence_takes_lines_and_not_the_window() -> None:
    text = shown(width=150, terminal=True)
    assert "  Licence " in text
    assert "Qwen Research License" in text
    assert max(map(len, text.splitlines())) <= 150


def test_in_a_pipe_a_model_is_one_line() -> None:
    members = sum(len(model.cards) for model in MODELS if len(model.cards) > 1)
    assert len(shown(width=80, terminal=False).splitlines()) == 1 + len(MODELS) + members


def test_a_family_of_different_states_keeps_the_narrow_table_narrow() -> None:
    families = [{**row, "members": [dict(one) for one in row["members"]]} for row in ROWS]  # type: ignore[attr-defined]
    family = next(row for row in families if row["members"])
    family["members"][0].update(state="downloaded", variant="quantized", size_bytes=2_400_000_000)  # type: ignore[index]
    stream = io.StringIO()
    _print_table(families, Console(file=stream, width=80, force_terminal=True, color_system=None))
    assert f"{family['name']} " in stream.getvalue()
    assert "in part" in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= 80
    assert "…" not in stream.getvalue()
