"""What documents of `gateway bench` say about each claim, as one table in Markdown: claim, bar, measured, command.

    python -m benchmarks.claims [--into FILE] benchmarks/results/DATE-NAME-*.json

--into puts it into FILE instead, between the lines with `<!-- claims -->` and `<!-- end of claims -->`. Where nothing
was measured FILE stays as it is, and the exit code is 1. What is not there, or is no document of `gateway bench`, is
named and left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gateway.bench.bars import FAST
from gateway.bench.tables import short

HEAD = "| Claim | Of | Bar | Measured | Reached | Command |\n|---|---|---|---|---|---|"
ENOUGH_REPEATS = 5

START, END = "<!-- claims -->", "<!-- end of claims -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--into", type=Path, metavar="FILE", help="a file with both lines, such as benchmarks/README.md"
    )
    parser.add_argument("documents", type=Path, nargs="+", metavar="JSON", help="what gateway bench --json wrote")
    arguments = parser.parse_args()
    found = table([document for file in arguments.documents if (document := read(file)) is not None])
    if arguments.into is None:
        print(found)
        return 0
    if found == HEAD:
        print(f"No run of these measured a claim, so {arguments.into} stays as it is.", file=sys.stderr)
        return 1
    arguments.into.write_text(placed(found, arguments.into.read_text()))
    return 0


def read(file: Path) -> dict[str, Any] | None:
    """A document of `gateway bench`; None, and a line that says so, for anything else."""
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        print(f"{file} is left out, it cannot be read: {error}", file=sys.stderr)
        return None
    if isinstance(document, dict) and {"void", "bars", "participants"} <= document.keys():
        return document
    print(f"{file} is left out, it is no document of gateway bench with claims.", file=sys.stderr)
    return None


def placed(claims: str, page: str) -> str:
    """The page with the claims between the two lines. Raises `SystemExit` where it has no such lines."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"There are no lines {START} and {END} in that file.")
    return f"{before}{start}\n{claims}\n{end}{after}"


def table(documents: Sequence[dict[str, Any]]) -> str:
    """Void runs are left out. A claim that several runs measured has a line for each."""
    return "\n".join([HEAD, *(line for document in documents if document["void"] is None for line in _lines(document))])


def _lines(document: dict[str, Any]) -> Iterator[str]:
    for bar in document["bars"]:
        measured = f"{_numbers(bar)} {bar['unit']}".strip()
        reached = "yes" if bar["holds"] else "**no**"
        if bar["repeats"] < ENOUGH_REPEATS and bar["workload"] != "soak":
            reached += f", {bar['repeats']} repeats"
        bound = f">= {bar['at_least']:g}" if bar["at_least"] is not None else f"<= {bar['at_most']:g} {bar['unit']}"
        cells = (bar["claim"], bar["contender"], bound.strip(), measured, reached, f"`{_command(bar, document)}`")
        yield f"| {' | '.join(cells)} |"


def _numbers(bar: dict[str, Any]) -> str:
    median, lowest, highest = (short(bar[name]) for name in ("median", "lowest", "highest"))
    return median if lowest == highest else f"{median} [{lowest}, {highest}]"


def _command(bar: dict[str, Any], document: dict[str, Any]) -> str:
    """What measures this one alone."""
    names = bar["contender"].split(" / ")
    known = {"ceiling", "grpc", "gateway"} | {one["name"] for one in document["participants"] if _is_ours(one["name"])}
    program = "gateway bench" if set(names) <= known else "python -m benchmarks.against_infinity"
    variant = "--variant fast=GATEWAY_PRECISION=fast " if FAST in names else ""
    return f"{program} {variant}--workload {bar['workload']}"


def _is_ours(name: str) -> bool:
    return name.startswith("gateway")


if __name__ == "__main__":
    sys.exit(main())
