"""What a load cost while it ran: processor time on both sides, and tokens that were computed for nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gateway.bench.measurement import MILLISECONDS
from gateway.bench.padding import SentTokens, padding_ratio, read_sent_tokens
from gateway.bench.processes import cpu_seconds
from gateway.bench.target import Target, is_own


class Outcome(Protocol):
    """What became of a load: how many texts were answered, and its figures."""

    @property
    def texts(self) -> int: ...

    def figures(self) -> dict[str, float]: ...


Answered = TypeVar("Answered", bound=Outcome)


@dataclass(frozen=True, slots=True)
class Account:
    """Whose processes are looked at, and of which gateway the metrics of `model` are read; None where there is none.

    `is_own_work` says that this very process does the work, so that its time is the server's too.
    """

    server_pid: int | None
    target: Target | None
    model: str
    is_own_work: bool = False

    def tokens(self) -> SentTokens | None:
        if self.target is None or not is_own(self.target.name):
            return None
        return asyncio.run(read_sent_tokens(self.target, model=self.model))

    def server_seconds(self) -> float | None:
        return time.process_time() if self.is_own_work else cpu_seconds(self.server_pid)


def accounted(account: Account, act: Callable[[], Answered]) -> tuple[Answered, dict[str, float]]:
    """What `act` gives, and its figures with those of what it cost. A figure that is not known is left out."""
    tokens, server, client = account.tokens(), account.server_seconds(), time.process_time()
    outcome = act()
    figures = {"client_cpu_seconds": time.process_time() - client, **outcome.figures()}
    after, ratio = account.server_seconds(), padding_ratio(tokens, account.tokens())
    # Less than before: a process below it has ended and took its time along.
    if server is not None and after is not None and after > server:
        figures |= cost_figures(after - server, outcome.texts)
    if ratio is not None:
        figures["padding_ratio"] = ratio
    return outcome, figures


def cost_figures(seconds: float, texts: int) -> dict[str, float]:
    """Of the server's processor time, in which the client that sends the load has no part."""
    found = {"server_cpu_seconds": seconds}
    if texts:
        found |= {"server_cpu_ms_per_text": MILLISECONDS * seconds / texts, "texts_per_cpu_second": texts / seconds}
    return found
