"""What the scripts ask about a running `gateway up`: where it answers, its first embedding, its end.

    python stack.py settings                         prints the run, model and vocabulary folders, one a line, and then
                                                     the models of GATEWAY_MODELS
    python stack.py address                          prints its address; exit 1 when none runs
    python stack.py first-embedding [--process N]    waits until it is ready, prints one embedding and its curl line
    python stack.py stop                             stops it and waits; exit 1 when it would not end

Imports nothing of the gateway, so that it starts at once; reads the few settings it needs as the gateway does.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

TEXT = "Hello, world"
READY_SECONDS = 600.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Stack:
    """A `gateway up` that is running. `start_ticks` tells it apart from a later process with the same pid."""

    pid: int
    start_ticks: int
    url: str

    def is_running(self) -> bool:
        return start_ticks_of(self.pid) == self.start_ticks


def start_ticks_of(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is none or it is a zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else int(fields[18])


def find(run_folder: Path) -> Stack | None:
    """The stack recorded in the run folder, if it is still running."""
    try:
        record = json.loads((run_folder / "up.json").read_text())
        stack = Stack(pid=record["pid"], start_ticks=record["start_ticks"], url=record["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return stack if stack.is_running() else None


def wait_for_record(run_folder: Path, *, process: int | None) -> Stack | None:
    """The stack, as soon as it has written its record; None when `process` ended or it took too long."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if (stack := find(run_folder)) is not None:
            return stack
        if process is None or start_ticks_of(process) is None:
            return None
        time.sleep(POLL_SECONDS)
    return None


def wait_until_ready(stack: Stack) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and stack.is_running():
        try:
            with urllib.request.urlopen(f"{stack.url}/ready", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(POLL_SECONDS)
    return False


def setting(*names: str) -> str | None:
    """The first of these that is set, in the environment or else in `.env`."""
    values = {**dotenv_values(".env"), **os.environ}
    return next((values[name] for name in names if values.get(name)), None)


def api_key() -> str | None:
    """A key to call with, where the gateway asks for one."""
    keys = setting("GATEWAY_API_KEYS", "API_KEYS", "API_KEY")
    if keys is not None:
        return keys.split(",")[0].strip()
    file = setting("GATEWAY_API_KEYS_FILE")
    lines = [line.strip() for line in Path(file).read_text().splitlines()] if file else []
    return next((line for line in lines if line and not line.startswith("#")), None)


def ask(url: str, headers: dict[str, str], body: bytes | None = None) -> dict[str, Any]:
    request = urllib.request.Request(url, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def model_to_show(served: list[dict[str, Any]]) -> str | None:
    """The gateway's default where it is an embedding model that is served, else the first such one; None without."""
    embedding = [one for one in served if one["kind"] == "embedding"]
    default = (setting("GATEWAY_DEFAULT_MODEL", "MODEL_NAME", "EMBEDDINGS_MODEL_ID") or "").lower()
    wanted = (one for one in embedding if default in (one["id"].lower(), one["hub_id"].lower()))
    chosen: dict[str, Any] | None = next(wanted, embedding[0] if embedding else None)
    return None if chosen is None else chosen["id"]


def print_embedding(stack: Stack, *, brief: bool) -> None:
    """One real request, and the line that repeats it. Raises `urllib.error.HTTPError` when it is refused."""
    headers = {"Content-Type": "application/json"}
    if key := api_key():
        headers["Authorization"] = f"Bearer {key}"
    served = ask(f"{stack.url}/v1/models", headers)["data"]
    model = model_to_show(served)
    if model is None:
        print(
            f"It serves {', '.join(one['id'] for one in served) or 'no model yet'}: no embedding to show.", flush=True
        )
        return
    body = json.dumps({"model": model, "input": TEXT}).encode()
    answer = ask(f"{stack.url}/v1/embeddings", headers, body)
    vector = answer["data"][0]["embedding"]
    first = ", ".join(f"{value:.4f}" for value in vector[:4])
    authorization = ' -H "Authorization: Bearer YOUR_KEY"' if key else ""
    print(f'"{TEXT}" is {len(vector)} dimensions by {answer["model"]}: [{first}, ...]', flush=True)
    if brief:
        return
    print("Again:")
    print(f"    curl {stack.url}/v1/embeddings -H 'Content-Type: application/json'{authorization} \\")
    print(f"        -d '{body.decode()}'", flush=True)


def stop(run_folder: Path) -> int:
    stack = find(run_folder)
    if stack is None:
        print("Nothing is running.")
        return 0
    os.kill(stack.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while stack.is_running():
        if time.monotonic() > deadline:
            print(f"Process {stack.pid} did not end within {STOP_SECONDS:.0f} s.", file=sys.stderr)
            return 1
        time.sleep(POLL_SECONDS)
    print("Stopped.")
    return 0


def first_embedding(run_folder: Path, *, process: int | None, brief: bool) -> int:
    stack = wait_for_record(run_folder, process=process)
    if stack is None or not wait_until_ready(stack):
        if process is None or start_ticks_of(process) is not None:  # one that ended has said why itself
            print("The gateway did not become ready; `/health` and its log say why.", file=sys.stderr)
        return 1
    try:
        print_embedding(stack, brief=brief)
    except urllib.error.HTTPError as error:
        print(f"The gateway answered {error.code}.", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("settings")
    verbs.add_parser("address")
    first = verbs.add_parser("first-embedding")
    first.add_argument("--process", type=int, help="give up when this process ends")
    first.add_argument("--brief", action="store_true", help="leave the curl line out")
    verbs.add_parser("stop")
    arguments = parser.parse_args()
    run_folder = Path(setting("GATEWAY_RUN_FOLDER") or ".run")
    if arguments.verb == "stop":
        return stop(run_folder)
    if arguments.verb == "first-embedding":
        return first_embedding(run_folder, process=arguments.process, brief=arguments.brief)
    if arguments.verb == "settings":
        print(run_folder)
        print(setting("GATEWAY_MODEL_REPOSITORY", "MODEL_REPOSITORY") or "model_repository")
        print(setting("GATEWAY_VOCABULARY_FOLDER") or "vocabularies")
        names = (name.strip() for name in (setting("GATEWAY_MODELS") or "").split(","))
        print(*filter(None, names), sep="\n", end="")
        return 0
    stack = find(run_folder)
    if stack is not None:
        print(stack.url)
    return 0 if stack is not None else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
