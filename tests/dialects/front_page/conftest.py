"""A real browser, and the page in front of services that answer at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.app import create_app
from tests.conftest import need
from tests.support.chromium import Browser, Tab, chromium, missing_chromium
from tests.support.edge import settings
from tests.support.instant_models import (
    ScriptedModels,
    family_listing,
    image_listing,
    plain_listing,
    reranker_listing,
)
from tests.support.instant_services import InstantServices
from tests.support.live_server import live_server

KEY = "a-long-and-secret-key"
TEXTS = ("One text.", "Another one.", "And a third.")
LISTINGS = (plain_listing(), family_listing(), image_listing(), reranker_listing())


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    need(missing_chromium())
    with chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@dataclass(frozen=True)
class Shown:
    """The page, loaded, and what is behind it."""

    tab: Tab
    services: InstantServices
    url: str

    def embed(self, *texts: str) -> None:
        """Types texts, asks, and waits for what comes of it."""
        self.tab.fill("#texts", "\n".join(texts))
        self.ask()

    def ask(self) -> None:
        self.tab.click("#run")
        self.tab.wait("!document.querySelector('#shown').hasAttribute('aria-busy')")

    @staticmethod
    def until(condition: Callable[[], object]) -> None:
        """Of what the services see; of what the page shows, `tab.wait`."""
        deadline = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, "never"
            time.sleep(0.01)

    @property
    def status(self) -> str:
        return self.tab.text("#status")

    @property
    def error(self) -> str:
        return self.tab.text("#error")

    def table(self, body: str) -> list[list[str]]:
        """The texts of a panel's table, row by row, its heads left out."""
        rows: list[list[str]] = self.tab.evaluate(
            f"[...document.querySelectorAll('#{body} tbody tr')].map((row) => "
            "[...row.children].map((cell) => cell.textContent))"
        )
        return rows


Showing = Callable[..., AbstractContextManager[Shown]]


@pytest.fixture(scope="session")
def showing(browser: Browser) -> Iterator[Showing]:
    """`with showing(setting=...) as shown:` the page in a tab of its own; `tab` are the tab's options, `ready` waits
    until models are offered. A server stays for all tests with its settings, and forgets between them."""
    with ExitStack() as running:
        started: dict[str, tuple[InstantServices, str]] = {}

        @contextmanager
        def show(*, tab: dict[str, Any] | None = None, ready: bool = True, **changes: Any) -> Iterator[Shown]:
            if repr(changes) not in started:
                started[repr(changes)] = running.enter_context(serving(**changes))
            services, url = started[repr(changes)]
            forget(services)
            with browser.tab(**tab or {}) as opened:
                opened.open(url + "/")
                opened.wait("document.querySelectorAll('#examples button').length")
                if ready:
                    opened.wait("!document.querySelector('#model').disabled")
                yield Shown(opened, services, url)

        yield show


@contextmanager
def serving(**changes: Any) -> Iterator[tuple[InstantServices, str]]:
    """Services, and the address of a gateway with settings of these changes in front of them."""
    chosen = settings(**changes)
    services = InstantServices(models=ScriptedModels(listings=LISTINGS))
    with live_server(chosen, create_app(chosen, start_services=services.start)) as server:
        yield services, server.url


def forget(services: InstantServices) -> None:
    """What an earlier test saw, and what it set up."""
    for part in (services.embedder, services.reranker):
        part.seen.clear()
        part.error, part.hold = None, False
        part.cancelled.clear()
    services.embedder.warnings = ()
