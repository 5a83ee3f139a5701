"""What the programs of this folder share. Each runs in the clients' environment, calls a gateway as an application
would, and writes down what its client gave or raised; the tests beside say what that has to be."""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Case = Callable[[], Any]
Embed = Callable[..., Any]

KEY, WRONG, BUSY, AWAY, BUSY_ONCE = "right", "wrong", "busy", "away", "busy-once-"
NO_MODEL = "no-such-model"


@dataclass(frozen=True)
class Plan:
    """`url` is of a gateway with one plain model, `tasks_url` of one whose models have tasks, and with a reranker."""

    url: str
    tasks_url: str
    texts: list[str]
    query: str


def run(cases: Callable[[Plan], Mapping[str, Case]]) -> None:
    """Called as `PROGRAM PLAN FILE`: runs every case and writes their outcomes to FILE, as JSON."""
    outcomes = {name: outcome(case) for name, case in cases(Plan(**json.loads(sys.argv[1]))).items()}
    Path(sys.argv[2]).write_text(json.dumps(outcomes), encoding="utf-8")


def outcome(case: Case) -> dict[str, Any]:
    """What a case gave, or the names of its error's classes, its status and its words."""
    started = time.monotonic()
    try:
        gave = case()
        found = {"gave": asyncio.run(gave) if inspect.iscoroutine(gave) else gave}
    except Exception as error:  # noqa: BLE001 - whatever a client raises is what is asked for
        found = {
            "raised": [kind.__name__ for kind in type(error).__mro__],
            "status": status_of(error),
            "says": str(error)[:1000],
        }
    return {**found, "seconds": round(time.monotonic() - started, 1)}


def status_of(error: Exception) -> int | None:
    names = ("status_code", "http_status", "code")
    return next((value for name in names if isinstance(value := getattr(error, name, None), int)), None)


def troubles(name: str, embed: Embed, *, has_model: bool = True, retries: bool = True) -> dict[str, Case]:
    """The ways in which a call can fail. `embed` takes `key`, `model` where the client lets one be chosen, and
    `patient`: whether the client goes again after an error as it does by default, or not at all."""
    cases: dict[str, Case] = {
        f"{name}: wrong key": lambda: embed(key=WRONG, patient=False),
        f"{name}: busy": lambda: embed(key=BUSY, patient=False),
        f"{name}: away": lambda: embed(key=AWAY, patient=False),
    }
    if has_model:
        cases[f"{name}: unknown model"] = lambda: embed(model=NO_MODEL, patient=False)
    if retries:
        cases[f"{name}: busy once"] = lambda: embed(key=BUSY_ONCE + name)
    return cases
