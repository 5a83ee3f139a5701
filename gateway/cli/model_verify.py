"""`gateway models verify`: prove models' files, here and through Triton."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Annotated

import typer
from rich.console import Console

from gateway.artifacts.completeness import has_files
from gateway.artifacts.findings import Finding, VerificationReport
from gateway.artifacts.verification import note_verified, verify
from gateway.cards.installation import read_installation
from gateway.cards.registry import Registry
from gateway.cli.named_models import JsonOption, NamesArgument, RepositoryOption, chosen_cards
from gateway.cli.running_triton import triton_address
from gateway.cli.triton_proof import prove_through_triton
from gateway.errors import ArtifactError
from gateway.settings import Settings, load_settings
from gateway.triton.endpoint import grpc_address

# What is right is recognised by its first digits; of what is wrong all are told.
_SHA256 = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


def verify_models(
    names: NamesArgument = None,
    triton: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Demand the same values through this Triton (default: the running one, if any)"
        ),
    ] = None,
    model_repository: RepositoryOption = None,
    as_json: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print one line a model, and faults.")] = False,
) -> None:
    """Prove models' files: sizes, hashes, graphs, tokenizer and the value of a known text. Exit code 1 on a fault.

    Without names: every model that has files here, and all of them where none has.
    """
    settings = load_settings(model_repository=model_repository)
    reports = verification_reports(settings, names, triton=triton)
    print_reports(reports, as_json=as_json, brief=quiet)
    if not all(report.ok for report in reports):
        raise typer.Exit(1)


def verification_reports(
    settings: Settings, names: list[str] | None, *, triton: str | None = None
) -> list[VerificationReport]:
    """One report a Triton model; see `verify_models` for which. Those without a fault are noted in their locks."""
    cards = chosen_cards(Registry.from_repository(settings.model_repository), names)
    started = [card for card in cards if has_files(card)]
    wanted = cards if names else started or cards
    address = grpc_address(triton) if triton is not None else triton_address(settings)
    proved = {card.name: read_installation(card) for card in wanted}
    here = {card.name: verify(card) for card in wanted}
    through = prove_through_triton([card for card in wanted if here[card.name].ok], address)
    reports = {
        card.name: _joined(here[card.name], through, address=address, demanded=triton is not None) for card in wanted
    }
    for card in wanted:
        if reports[card.name].ok:
            # Whoever may only read the model repository may verify it.
            with contextlib.suppress(ArtifactError):
                note_verified(card, proved[card.name])
    return list(reports.values())


def _joined(
    report: VerificationReport, through: dict[str, Finding] | None, *, address: str, demanded: bool
) -> VerificationReport:
    found = (through or {}).get(report.model)
    if found is None and demanded and report.ok:
        what = "No Triton answers there." if through is None else "It has not loaded the model."
        found = Finding("triton", address, False, what, "Start it, or give the address of its gRPC port.")
    return report if found is None else replace(report, findings=(*report.findings, found))


def print_reports(reports: Sequence[VerificationReport], *, as_json: bool, brief: bool = False) -> None:
    """Findings for people, faults with their remedy below them, or as one JSON document. `brief`: a line for each
    model, and its faults."""
    if as_json:
        typer.echo(json.dumps([{**asdict(report), "ok": report.ok} for report in reports], indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    for report in reports:
        if brief and report.ok:
            console.print(f"{report.model}: verified, {len(report.findings)} checks.", markup=False)
            continue
        console.print(f"[bold]{report.model}[/bold]")
        for finding in report.faults if brief else report.findings:
            _print_finding(finding, console)
    if not brief or not all(report.ok for report in reports):
        console.print(_summary(reports), markup=False)


def _print_finding(finding: Finding, console: Console) -> None:
    mark = "[green]ok   [/green]" if finding.ok else "[red]FAULT[/red]"
    console.print(f"  {mark} {finding.check} {finding.subject}: ", end="")
    console.print(_SHA256.sub(r"\1", finding.detail) if finding.ok else finding.detail, markup=False)
    if not finding.ok and finding.remedy:
        console.print(f"        Remedy: {finding.remedy}", markup=False)


def _summary(reports: Sequence[VerificationReport]) -> str:
    """`11 models, no fault`, or `2 faults: NAME, NAME`."""
    count, faulty = sum(len(report.faults) for report in reports), [one.model for one in reports if not one.ok]
    if count:
        return f"{count} fault{'s' if count > 1 else ''}: {', '.join(faulty)}"
    return f"{len(reports)} model{'s' if len(reports) != 1 else ''}, no fault"
