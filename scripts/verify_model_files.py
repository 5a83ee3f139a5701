#!/usr/bin/env python3
"""Say whether every model file is there and right: `ALL FILES ARE READY!` and exit code 0, or what to mend and 1.

Thin: `gateway models verify` does the work.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

try:
    from gateway.cli.model_verify import print_reports, verification_reports
    from gateway.errors import SetupError
    from gateway.settings import load_settings
except ModuleNotFoundError as error:
    sys.exit(
        f"The module {error.name} is not installed for this Python. "
        "Run .venv/bin/python scripts/verify_model_files.py; scripts/quick_start.sh makes .venv."
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MODEL", help="models to look at; none for all that have files")
    parser.add_argument("--model-repository", type=Path, help="folder of model folders")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    arguments = parser.parse_args()
    try:
        settings = load_settings(model_repository=arguments.model_repository)
        reports = verification_reports(settings, arguments.names)
    except SetupError as error:
        print(error.message, *([error.remedy] if error.remedy else []), sep="\n", file=sys.stderr)
        return 2
    print_reports(reports, as_json=arguments.json)
    ready = bool(reports) and all(report.ok for report in reports)
    if not arguments.json:
        print("ALL FILES ARE READY!" if ready else "SOME FILES ARE MISSING OR WRONG.")
    return 0 if ready else 1


if __name__ == "__main__":
    sys.exit(main())
