"""Which build of torch this environment has, or would be given: one line, "VERSION cpu" or "VERSION cuda".

    python torch_build.py installed     of the environment that runs it; nothing where torch is not installed
    python torch_build.py offered       of what `pip install --dry-run --report -` says, read from standard input

Imports neither torch nor the gateway: the one takes seconds, the other may not be there yet.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import sys
from collections.abc import Iterable

NAME = "torch"
CUDA_PACKAGES = re.compile(r"nvidia[-_]|cuda[-_]|triton$")


def build_of(version: str, others: Iterable[str]) -> str:
    """A version says itself what it is for, as in 2.13.0+cpu; without that, the packages that it brings do."""
    local = version.partition("+")[2]
    if local:
        return "cuda" if local.startswith("cu") else "cpu"
    return "cuda" if any(CUDA_PACKAGES.match(name.lower()) for name in others) else "cpu"


def installed() -> str | None:
    try:
        version = importlib.metadata.version(NAME)
        requirements = importlib.metadata.requires(NAME) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return f"{version} {build_of(version, requirements)}"


def offered(report: str) -> str | None:
    """None where the report names no torch."""
    packages = {row["metadata"]["name"].lower(): row["metadata"]["version"] for row in json.loads(report)["install"]}
    version = packages.pop(NAME, None)
    return None if version is None else f"{version} {build_of(version, packages)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=("installed", "offered"))
    found = installed() if parser.parse_args().question == "installed" else offered(sys.stdin.read())
    if found is not None:
        print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
