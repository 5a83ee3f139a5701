"""Everyone who takes part, ready to start: a stack of its own or a gateway that runs already, and other servers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.bench import ceiling as in_process
from gateway.bench import direct as over_grpc
from gateway.bench import wrk
from gateway.bench.ceiling import Ceiling
from gateway.bench.contenders import CeilingContender, Contest, DirectContender, HttpContender
from gateway.bench.direct import Direct
from gateway.bench.entrants import ready_to_start
from gateway.bench.stack import running_stack
from gateway.bench.target import GATEWAY, Target, target_at
from gateway.cards.schema import Card
from gateway.errors import ConfigurationError

OWN_NAMES = (in_process.NAME, over_grpc.NAME, GATEWAY)


@dataclass(frozen=True, slots=True)
class Cast:
    """Who is to take part. `url` is a gateway that runs already, None for a stack that is started here with `settings`;
    `triton` is that gateway's Triton, `host:port`, None where it cannot be asked. `others` are further servers' URLs by
    name; `models` and `keys` are what servers call the model and their keys, where they have any."""

    card: Card
    repository: Path
    url: str | None = None
    triton: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)

    def target(self, name: str, url: str) -> Target:
        model = self.models.get(name, self.card.name if name == GATEWAY else self.card.hub_id)
        return target_at(url, name=name, model=model, key=self.keys.get(name))


@contextmanager
def staged(cast: Cast) -> Iterator[Contest]:
    """Everyone has answered once when the block begins; what was started here has ended when it is left.

    Raises `ConfigurationError` for a server that does not answer, `EmbeddedTritonError` where the stack does not start.
    """
    # Before the minute that a start may take.
    others = [ready_to_start(cast.target(name, url)) for name, url in cast.others.items()]
    ceiling = Ceiling(cast.card)
    if cast.url is not None:
        gateway = ready_to_start(cast.target(GATEWAY, cast.url))
        yield _contest(cast, ceiling, cast.triton, gateway, others)
        return
    with running_stack(cast.card.name, cast.repository, settings=cast.settings) as server:
        own = cast.target(GATEWAY, f"http://{server.host}:{server.http_port}")
        gateway = ready_to_start(dataclasses.replace(own, pid=server.pid))
        yield _contest(cast, ceiling, server.grpc_address, gateway, others)


def _contest(cast: Cast, ceiling: Ceiling, triton: str | None, gateway: Target, others: Sequence[Target]) -> Contest:
    direct = DirectContender(Direct(triton, ceiling.model), gateway.pid) if triton is not None else None
    servers = tuple(HttpContender(target) for target in (gateway, *others))
    return Contest(cast.card.name, CeilingContender(ceiling), direct, servers, wrk.installed())


def check_names(cast: Cast) -> None:
    """Raises `ConfigurationError` for another server's name that stands for something else in results, and for a model
    or key of a server that does not take part."""
    for name in cast.others:
        if name in OWN_NAMES:
            raise ConfigurationError(f"Another server cannot be called {name}.", remedy="Choose another name.")
    for name in (*cast.models, *cast.keys):
        if name not in (GATEWAY, *cast.others):
            raise ConfigurationError(
                f"There is no server called {name} in this run.", remedy="--against NAME=URL gives a server its name."
            )
