"""`gateway doctor`: looks at everything that has to be right before `gateway up`, and says what mends the rest."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gateway.cli.health_check import Check
from gateway.cli.health_checks import all_checks
from gateway.settings import load_settings

EXIT_FAULT = 1


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check this machine; exit 1 if something has to be mended."""
    checks = all_checks(load_settings())
    typer.echo(as_document(checks) if as_json else as_lines(checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(EXIT_FAULT)


def as_lines(checks: list[Check]) -> str:
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        # What nobody has to mend is one line, with what could be done in it.
        offer = f" ({check.remedy})" if check.ok and check.remedy else ""
        lines.append(f"{'ok   ' if check.ok else 'FAULT'}  {check.name:<{width}}  {check.finding}{offer}")
        if check.remedy and not check.ok:
            lines.append(f"{'':7}{'':{width}}  -> {check.remedy}")
    return "\n".join(lines)


def as_document(checks: list[Check]) -> str:
    rows = [{"name": check.name, "ok": check.ok, "finding": check.finding, "remedy": check.remedy} for check in checks]
    return json.dumps({"ok": all(check.ok for check in checks), "checks": rows}, indent=2)
