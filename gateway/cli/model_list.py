"""`gateway models list`: what is known here, and how far each model has come."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from gateway.artifacts.completeness import missing_files
from gateway.artifacts.vocabularies import SOURCES, is_installed
from gateway.cards.installation import Installation, read_installation
from gateway.cards.precision import why_not_fast
from gateway.cards.registry import Registry
from gateway.cards.schema import Card, Model
from gateway.cli.named_models import JsonOption, RepositoryOption
from gateway.cli.running_triton import loaded_models
from gateway.settings import load_settings

COLUMNS = ("Model", "State", "Variant", "Size", "Dims", "Tokens")
FOLDED_COLUMNS = ("Licence", "Tasks")
WIDE_COLUMNS = (*COLUMNS, *FOLDED_COLUMNS)


class State(IntEnum):
    """KNOWN: there is a card. DOWNLOADED: all files are there. VERIFIED: and were proved since they came. LOADED: the
    Triton that runs now serves it."""

    KNOWN = 0
    DOWNLOADED = 1
    VERIFIED = 2
    LOADED = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one card's files have come."""

    card: Card
    state: State
    installation: Installation
    missing: tuple[str, ...]


def list_models(model_repository: RepositoryOption = None, as_json: JsonOption = False) -> None:
    """Show the models this installation knows, and which are downloaded, verified and loaded."""
    settings = load_settings(model_repository=model_repository)
    models = Registry.from_repository(settings.model_repository).models
    loaded = loaded_models(settings)
    rows = [_row(model, [standing(card, loaded) for card in model.cards]) for model in models]
    vocabularies = {name: is_installed(source, settings.vocabulary_folder) for name, source in SOURCES.items()}
    if as_json:
        typer.echo(json.dumps({"models": rows, "vocabularies": vocabularies}, indent=2))
        return
    console = Console()
    _print_table(rows, console)
    for name, installed in vocabularies.items():
        state = "installed" if installed else f"not installed; get it with: gateway models pull {name}"
        console.print(f"Token-id vocabulary {name}: {state}", highlight=False, soft_wrap=True)


def standing(card: Card, loaded: frozenset[str]) -> Standing:
    installation = read_installation(card)
    missing = tuple(file.path for file in missing_files(card))
    state = State.KNOWN if missing else State.VERIFIED if installation.verified_at else State.DOWNLOADED
    if card.name in loaded:
        state = State.LOADED
    return Standing(card, state, installation, missing)


def _row(model: Model, standings: list[Standing]) -> dict[str, object]:
    card = model.card
    own = _facts(standings[0]) if card.family is None else {"state": min(one.state for one in standings).word}
    return {
        "name": model.name,
        "hub_id": model.hub_id,
        "kind": card.kind.value,
        **own,
        "dimensions": card.vectors.dimensions if card.vectors else None,
        "max_tokens": card.tokenizer.max_tokens,
        "tasks": [task.name for task in card.tasks.tasks],
        "variants": list(card.variants),
        "licence": card.licence,
        "summary": card.summary,
        "members": [] if card.family is None else [{"name": one.card.name, **_facts(one)} for one in standings],
    }


def _facts(one: Standing) -> dict[str, object]:
    installed = one.installation if not one.missing else Installation()
    listed = [file.size_bytes for file in one.card.files_of(None)]
    sizes = [file.size_bytes for file in installed.files.values()] or listed
    return {
        "state": one.state.word,
        "variant": installed.variant,
        "batch_invariant": installed.batch_invariant,
        "fast_min_cosine": installed.fast.min_cosine if installed.fast is not None else None,
        "why_not_fast": why_not_fast(one.card),
        "revision": installed.revision or one.card.revision,
        "verified_at": installed.verified_at,
        "size_bytes": sum(size for size in sizes if size is not None) if None not in sizes else None,
        "missing_files": list(one.missing),
    }


def _print_table(rows: list[dict[str, object]], console: Console) -> None:
    """Names are what the reader has to type, so no cell is ever cut: where the window is too narrow, columns are left
    out and said to be. Elsewhere than on a terminal, a model is one line of any length."""
    table = _table(rows, WIDE_COLUMNS)
    needed = Measurement.get(console, console.options.update(max_width=1_000), table)
    if not console.is_terminal:
        console.width = max(console.width, needed.maximum)
        console.print(table)
        return
    wide = needed.minimum <= console.width
    console.print(table if wide else _table(rows, COLUMNS))
    if not wide:
        console.print(f"Licences and tasks: --json, or a window of {needed.minimum} columns.", highlight=False)


def _table(rows: list[dict[str, object]], headings: tuple[str, ...]) -> Table:
    """Of a family the models follow it, by what their names add to its own where the table is to be narrow."""
    table = Table(box=None, pad_edge=False, collapse_padding=headings == COLUMNS)
    for heading in headings:
        folds = heading in FOLDED_COLUMNS
        table.add_column(heading, no_wrap=not folds, min_width=25 if folds else None)
    for row in rows:
        members = row["members"]
        assert isinstance(members, list)
        _add(table, row, members)
        for member in members:
            own = str(member["name"])
            short = own if headings == WIDE_COLUMNS else own.removeprefix(str(row["name"]))
            _add(table, {**member, "name": f"  {short}"}, [])
    return table


def _add(table: Table, row: dict[str, object], members: list[dict[str, object]]) -> None:
    size, tasks = row.get("size_bytes"), row.get("tasks")
    cells = (
        row["name"],
        _state_of(members, brief=len(table.columns) == len(COLUMNS)) if members else row["state"],
        row.get("variant") or "",
        f"{size / 1e6:.0f} MB" if isinstance(size, int) else "",
        row.get("dimensions") or "",
        row.get("max_tokens") or "",
        row.get("licence") or "",
        ", ".join(map(str, tasks)) if isinstance(tasks, list) else "",
    )
    table.add_row(*map(str, cells[: len(table.columns)]))


def _state_of(members: list[dict[str, object]], *, brief: bool) -> str:
    """A family's: how many have come how far, or only that they differ."""
    states = [str(member["state"]) for member in members]
    if len(set(states)) == 1:
        return states[0]
    if brief:
        return "in part"
    return ", ".join(f"{states.count(state.word)} {state.word}" for state in reversed(State) if state.word in states)
