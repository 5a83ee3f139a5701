"""jina-embeddings-v4 on this machine's GPU: tokens a second, and the share of what the chip's matrix products reach.

    python -m benchmarks.gpu_v4 --json benchmarks/results/DATE-CARD.json

A model of the full size with random weights (8 GB in a temporary folder, no download) is loaded and called as Triton
does it, without Triton and the gateway around it. The ceiling is measured in the same run: the best of several bfloat16
products of two square matrices. `--tiny` takes a tiny model on the processor instead, which shows in seconds that
everything works, and nothing about speed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.command import at_least, exit_with
from gateway.cli.torch_presence import INSTALL, missing_packages
from gateway.errors import ConfigurationError

REPEATS = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write every figure there")
    parser.add_argument("--repeats", type=at_least(1), default=REPEATS, help=f"of each call (default: {REPEATS})")
    parser.add_argument("--tiny", action="store_true", help="a tiny model on the processor, to see that it works")
    arguments = parser.parse_args()
    found = measured(repeats=arguments.repeats, tiny=arguments.tiny)
    print(*lines(found), sep="\n")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def measured(*, repeats: int, tiny: bool) -> dict[str, Any]:
    """Every figure. Raises `ConfigurationError` where PyTorch or a GPU is missing."""
    if missing := missing_packages():
        raise ConfigurationError(f"This computes with {', '.join(missing)}, not installed here.", remedy=INSTALL)
    # Not before, because --help and the sentence above need no torch.
    import torch

    from benchmarks.v4_speed import FULL, TINY, report

    if not tiny and not torch.cuda.is_available():
        raise ConfigurationError(
            "This measures a GPU, and PyTorch sees none here (or is a build for CPU).",
            remedy="On a machine with a GPU, a build with CUDA (scripts/install_torch.sh, docs/gpu.md). --tiny shows "
            "without one that everything works.",
        )
    with tempfile.TemporaryDirectory() as folder:
        return report(Path(folder) / "1", TINY if tiny else FULL, repeats=repeats)


def lines(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    ceiling = found["matrix_operations_per_second"]
    head = f"{found['machine']['device']}: bfloat16 matrix products reach {ceiling / 1e12:.3g} TFLOP/s; weights take "
    return [
        f"{head}{found['bytes_held'] / 1e9:.2f} GB, {found['seconds_to_load']:.0f} s to load.",
        *(
            f"{one['name']}: {one['rows']} rows a call, {one['tokens_per_second']:,.0f} tokens/s, "
            f"{one['operations_per_second'] / 1e12:.3g} TFLOP/s, {one['share']:.0%} of that"
            for one in found["figures"]
        ),
    ]


if __name__ == "__main__":
    exit_with(main)
