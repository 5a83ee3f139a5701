"""`gateway models add`: a sentence-embedding model from the hub, with a card written from what its repository says."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.artifacts.adding.adding import Addition, State, add_model
from gateway.artifacts.adding.plan import AddOptions, Plan
from gateway.artifacts.adding.pooling_stage import MODES
from gateway.artifacts.sources import SourceChoice
from gateway.cards.loading import CARD_FILE
from gateway.cards.schema import Card
from gateway.cli.download_bar import DownloadBar
from gateway.cli.fetching import fetching_of
from gateway.cli.named_models import JsonOption, RepositoryOption
from gateway.errors import ConfigurationError
from gateway.settings import Settings, load_settings
from gateway.vectors.pooling import POOLINGS

_POOLINGS = ", ".join(POOLINGS)

RepositoryArgument = Annotated[str, typer.Argument(metavar="REPO", help="Repository on the model hub, OWNER/NAME.")]
RevisionOption = Annotated[
    str | None,
    typer.Option(metavar="REVISION", help="Commit, branch or tag, pinned to its commit (default: main)"),
]
NameOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="What it is called here (default: the part of REPO after its slash)")
]
VariantOption = Annotated[
    str | None,
    typer.Option(
        metavar="WORD",
        help="Precision, as in onnx/model_fp16.onnx: fp16, int8, ... (default: full precision)",
    ),
]
FileOption = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="The ONNX file, by its path in the repository (default: that of --variant)"),
]
PoolingOption = Annotated[
    str | None,
    typer.Option(
        metavar="WORD", help=f"How token vectors become one (default: what the repository says). One of {_POOLINGS}"
    ),
]
WindowOption = Annotated[
    int | None, typer.Option(metavar="TOKENS", min=1, help="The window (default: what the repository says)")
]
LicenceOption = Annotated[
    str | None,
    typer.Option("--licence", "--license", metavar="NAME", help="The licence (default: what the repository says)"),
]
DryOption = Annotated[
    bool, typer.Option("--dry-run", help="Print the card and write none; the graph is downloaded to be read.")
]


def add(
    repository: RepositoryArgument,
    revision: RevisionOption = None,
    name: NameOption = None,
    variant: VariantOption = None,
    file: FileOption = None,
    pooling: PoolingOption = None,
    max_tokens: WindowOption = None,
    licence: LicenceOption = None,
    dry_run: DryOption = False,
    as_json: JsonOption = False,
    model_repository: RepositoryOption = None,
) -> None:
    """Add a model from the hub: read what its repository says, write its card, download and prove it.

    Refuses a model whose authors' vectors could not be given, and says why.
    """
    if file is not None and variant is not None:
        raise ConfigurationError("--file and --variant both choose the ONNX file; give one of them.")
    options = AddOptions(
        revision=revision,
        name=name,
        file=file,
        variant=variant,
        pooling=_pooling(pooling),
        max_tokens=max_tokens,
        licence=licence,
    )
    settings = load_settings(model_repository=model_repository)
    with DownloadBar(Console(stderr=True), title=repository) as bar:
        fetching = fetching_of(settings, SourceChoice.HUB, bar)
        addition = add_model(repository, options, models=settings.model_repository, fetching=fetching, dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps(_document(addition), indent=2, ensure_ascii=False))
    else:
        _print(addition, settings)


def _pooling(word: str | None) -> str | None:
    if word is None:
        return None
    plain = MODES.get(word.strip().lower(), word.strip().lower())
    if plain not in POOLINGS:
        raise ConfigurationError(f"--pooling {word!r} is not known here.", remedy=f"Give one of {_POOLINGS}.")
    return plain


def _print(addition: Addition, settings: Settings) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if addition.plan is not None:
        console.print(_table(addition.plan))
        for note in addition.plan.notes:
            console.print(f"\nNote: {note}", markup=False)
        console.print()
    if addition.state is State.PLANNED:
        console.print(f"{CARD_FILE}, which is not written in a dry run:\n", markup=False)
        console.print(addition.text or "", markup=False)
        return
    for card in addition.cards:
        there = "is added in" if addition.state is State.ADDED else "is there already, complete, in"
        console.print(f"{card.name} {there} {card.folder}.", markup=False)
    console.print(_usage(addition.cards[0], addition.name, settings), markup=False)


def _table(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, title=f"{plan.name}, from {plan.repository}", title_justify="left")
    for heading in ("", "Value", "Source"):
        # A commit stays in one piece, to be copied.
        table.add_column(heading, overflow="fold", min_width=40 if heading == "Value" else None)
    for what, fact in plan.facts():
        table.add_row(*(Text(cell) for cell in (what, fact.value, fact.source)))
    return table


def _usage(card: Card, name: str, settings: Settings) -> str:
    body: dict[str, object] = {"model": name, "input": ["Hello"]}
    if card.tasks.tasks:
        body["task"] = card.tasks.tasks[0].name
    sent = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return (
        "\nServe it: gateway up (one that runs has to be started again)\n"
        f"Call it:  curl http://localhost:{settings.port}/v1/embeddings -H 'Content-Type: application/json' -d '{sent}'"
    )


def _document(addition: Addition) -> dict[str, object]:
    plan = addition.plan
    facts = {what: {"value": fact.value, "source": fact.source} for what, fact in plan.facts()} if plan else {}
    return {
        "state": addition.state.value,
        "name": addition.name,
        "folders": [str(card.folder) for card in addition.cards],
        "derived": facts,
        "notes": list(plan.notes) if plan else [],
        "card": addition.text,
    }
