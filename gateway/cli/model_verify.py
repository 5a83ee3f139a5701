"""`gateway models verify`: prove models' files, here and through Triton."""

from __future__ import annotations

import contextlib
import json
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
from gateway.cli.triton_proof import prove_through_triton, triton_address
from gateway.errors import ArtifactError
from gateway.settings import Settings, load_settings
from gateway.triton.endpoint import grpc_address


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
) -> None:
    """Prove models' files: sizes, hashes, graphs, tokenizer and the value of a known text. Exit code 1 on a fault.

    Without names: every model that has files here, and all of them where none has.
    """
    settings = load_settings(model_repository=model_repository)
    reports = verification_reports(settings, names, triton=triton)
    print_reports(reports, as_json=as_json)
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


def print_reports(reports: Sequence[VerificationReport], *, as_json: bool) -> None:
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
