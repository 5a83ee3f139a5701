"""Everyone who takes part, ready to start: a stack of its own or a gateway that runs already, and other servers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
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
from gateway.bench.target import GATEWAY, VARIANT_PREFIX, Target, is_own, target_at
from gateway.cards.schema import Card
from gateway.errors import ConfigurationError

OWN_NAMES = (in_process.NAME, over_grpc.NAME)
PRECISION, FAST = "GATEWAY_PRECISION", "fast"


@dataclass(frozen=True, slots=True)
class Cast:
    """Who is to take part. `url` is a gateway that runs already, None for a stack that is started here with `settings`;
    `triton` is that gateway's Triton, `host:port`, None where it cannot be asked. `others` are further servers' URLs by
    name; `variants` are further stacks of our own by name, with settings beside `settings`; `models` and `keys` are
    what servers call the model and their keys, where they have any. `is_fast` says that the gateway of `url` computes
    in less than the ceiling's precision; of stacks that are started here their settings say it."""

    card: Card
    repository: Path
    url: str | None = None
    triton: str | None = None
    others: Mapping[str, str] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    is_fast: bool = False

    @property
    def fast(self) -> frozenset[str]:
        """Those of ours that are in a lower precision, the direct calls to their Triton included."""
        stacks = {f"{VARIANT_PREFIX}{name}": {**self.settings, **own} for name, own in self.variants.items()}
        found = {name for name, settings in stacks.items() if settings.get(PRECISION) == FAST}
        main = {GATEWAY, over_grpc.NAME} if self.is_fast or self.settings.get(PRECISION) == FAST else set()
        return frozenset(found | main)

    def target(self, name: str, url: str) -> Target:
        model = self.models.get(name, self.card.name if is_own(name) else self.card.hub_id)
        return target_at(url, name=name, model=model, key=self.keys.get(name))


@contextmanager
def staged(cast: Cast) -> Iterator[Contest]:
    """Everyone has answered once when the block begins; what was started here has ended when it is left.

    Raises `ConfigurationError` for a server that does not answer, `EmbeddedTritonError` where the stack does not start.
    """
    # Before the minute that a start may take.
    others = [ready_to_start(cast.target(name, url)) for name, url in cast.others.items()]
    ceiling = Ceiling(cast.card)
    with ExitStack() as stack:
        if cast.url is not None:
            gateway, triton = ready_to_start(cast.target(GATEWAY, cast.url)), cast.triton
        else:
            gateway, triton = _started(cast, GATEWAY, cast.settings, stack)
        variants = [
            _started(cast, f"{VARIANT_PREFIX}{name}", {**cast.settings, **own}, stack)[0]
            for name, own in cast.variants.items()
        ]
        yield _contest(cast, ceiling, triton, [gateway, *variants, *others])


def _started(cast: Cast, name: str, settings: Mapping[str, str], stack: ExitStack) -> tuple[Target, str]:
    """A stack of our own, and its Triton's address."""
    server = stack.enter_context(running_stack(cast.card.name, cast.repository, settings=settings))
    own = cast.target(name, f"http://{server.host}:{server.http_port}")
    return ready_to_start(dataclasses.replace(own, pid=server.pid)), server.grpc_address


def _contest(cast: Cast, ceiling: Ceiling, triton: str | None, servers: Sequence[Target]) -> Contest:
    """The first of `servers` is the one that `triton` belongs to."""
    direct = DirectContender(Direct(triton, ceiling.model), servers[0].pid) if triton is not None else None
    contenders = tuple(HttpContender(target) for target in servers)
    return Contest(cast.card.name, CeilingContender(ceiling), direct, contenders, wrk.installed(), cast.fast)


def check_names(cast: Cast) -> None:
    """Raises `ConfigurationError` for another server's name that stands for something else in results, and for a model
    or key of a server that does not take part."""
    for name in cast.others:
        if name in OWN_NAMES or is_own(name):
            raise ConfigurationError(f"Another server cannot be called {name}.", remedy="Choose another name.")
    for name in (*cast.models, *cast.keys):
        if name not in (GATEWAY, *cast.others):
            raise ConfigurationError(
                f"There is no server called {name} in this run.", remedy="--against NAME=URL gives a server its name."
            )
