"""Runs a command that gets SIGTERM when its starter dies: a measuring process that is killed leaves no Triton behind.

python -m gateway.bench.bound PID COMMAND ...
"""

from __future__ import annotations

import os
import signal
import sys

from gateway.triton.embedded.warden import PR_SET_PDEATHSIG, prctl


def main() -> None:
    """Becomes the command; the wish outlives that. PID is the starter, which may be gone already."""
    starter, *command = sys.argv[1:]
    if sys.platform == "linux":
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(starter):
            sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
