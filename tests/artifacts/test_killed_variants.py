"""kill -9 at any step of installing a model with external data, and of replacing one variant by another.

The child kills itself just before its n-th change to the file system: renames, deletions, files opened for writing. So
every order in which things reach the disk is tried, not those that happen to fall under a clock.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gateway.artifacts.completeness import is_complete
from gateway.artifacts.inference import GraphRun, padded
from gateway.artifacts.measuring import load_tokenizer
from gateway.artifacts.onnx_inspection import graph_path
from gateway.artifacts.pulling import is_settled
from gateway.artifacts.verification import verify
from gateway.cards.schema import Card
from gateway.errors import ArtifactError, ConfigurationError
from gateway.text.canary_row import canary_row
from tests.support.twin_world import TwinWorld, files_of, installed, publish_variant, twin_world

NAME = "jina-embeddings-v5-text-nano-text-matching"
KILLS = 20

# Forks for every pull, so that importing what a pull needs is paid for once.
PULLS = """
import os, signal, sys, traceback
from pathlib import Path
from gateway.artifacts.hub_access import HubAccess
from gateway.artifacts.pulling import pull
from gateway.artifacts.sources import Fetching
from gateway.cards.registry import Registry

models, name, staging, url = sys.argv[1:]
(card,) = [card for card in Registry.from_repository(Path(models)).cards if card.name == name]
steps, watched = 0, (models, staging)

def changes(event, arguments):
    if event in ("os.rename", "os.remove"):
        return str(arguments[0])
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)) and isinstance(arguments[2], int):
        return str(arguments[0]) if arguments[2] & (os.O_WRONLY | os.O_RDWR) else ""
    return ""

def pulled(variant, kill_at):
    def count(event, arguments):
        global steps
        if changes(event, arguments).startswith(watched):
            steps += 1
            if steps == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        pull(card, Fetching(Path(staging), hub=HubAccess(endpoint=url, token="no")), variant=variant)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    print("steps", steps, flush=True)
    os._exit(0)

for line in sys.stdin:
    variant, kill_at = line.split()
    child = os.fork()
    if not child:
        pulled(variant, int(kill_at))
    print("exit", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TwinWorld]:
    with twin_world(tmp_path, "jina-embeddings-v5-text-nano") as world:
        yield world


@dataclass(frozen=True)
class Puller:
    """Pulls in processes of their own."""

    process: subprocess.Popen[str]

    def run(self, variant: str, kill_at: int) -> int | None:
        """The number of steps that the whole pull took; None where it was killed before it came to its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{variant} {kill_at}\n")
        self.process.stdin.flush()
        answers = {}
        while "exit" not in answers:
            word, number = self.process.stdout.readline().split()
            answers[word] = int(number)
        assert answers["exit"] in (0, -signal.SIGKILL), "its traceback stands above"
        return answers.get("steps")


@pytest.fixture
def puller(world: TwinWorld) -> Iterator[Puller]:
    command = [sys.executable, "-c", PULLS, str(world.models), NAME, str(world.staging), world.hub.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Puller(process)


def vector(card: Card) -> np.ndarray:
    row = canary_row(card, load_tokenizer(card)).ids
    return GraphRun(card, graph_path(card)).results(padded([row], pad_id=card.tokenizer.pad_id))[0]


def check_after_a_kill(card: Card, right: dict[str, np.ndarray]) -> None:
    """Whole is only what is right; and a graph that can be loaded at all is one variant's, never a mixture."""
    if is_complete(card):
        assert verify(card).faults == ()
        variant = installed(card).variant
        assert variant is not None
        assert np.array_equal(vector(card), right[variant])
    try:
        given = vector(card)
    except (ArtifactError, ConfigurationError):
        assert not is_complete(card)
        return
    assert any(np.array_equal(given, one) for one in right.values())


def kill_points(steps: int) -> list[int]:
    """`KILLS` of them, from the first step to the last, evenly."""
    return sorted({1 + round(place * (steps - 1) / (KILLS - 1)) for place in range(KILLS)})


@pytest.fixture
def right(world: TwinWorld) -> dict[str, np.ndarray]:
    """Two variants on the hub, of the same file sizes, so that sizes alone tell nothing, and their right vectors."""
    card, right, sizes = world.card(NAME), {}, set()
    for variant, scale in (("q8", 0.5), ("q4", 1.5)):
        publish_variant(world, card, variant, location=f"{variant}.bin", scale=scale)
        world.pull(card, variant=variant)
        right[variant] = vector(card)
        sizes.add(card.path_of("1/serving.onnx").stat().st_size)
    assert len(sizes) == 1
    assert np.abs(right["q8"] - right["q4"]).max() > 1e-3
    return right


def check_the_end(card: Card, right: dict[str, np.ndarray]) -> None:
    """All of the wanted variant is there, nothing else, and it is right."""
    assert is_settled(card, "q4")
    assert verify(card).faults == ()
    assert np.array_equal(vector(card), right["q4"])
    assert files_of(card) == set(installed(card).files)


@pytest.mark.timeout(600)
def test_no_kill_while_one_variant_replaces_another_leaves_a_mixture(
    world: TwinWorld, puller: Puller, right: dict[str, np.ndarray]
) -> None:
    card = world.card(NAME)
    world.pull(card, variant="q8")
    steps = puller.run("q4", 0)
    assert steps is not None
    points = kill_points(steps)
    assert len(points) == KILLS
    for point in points:
        world.pull(card, variant="q8")
        assert puller.run("q4", point) is None
        check_after_a_kill(card, right)
        world.pull(card, variant="q4")
        check_the_end(card, right)


@pytest.mark.timeout(600)
def test_a_first_installation_killed_again_and_again_ends_right(
    world: TwinWorld, puller: Puller, right: dict[str, np.ndarray]
) -> None:
    """Each run goes on from what the one before left, and is killed a little later."""
    card, point, kills = world.card(NAME), 1, 0
    for path in card.path_of("1").rglob("*"):
        path.unlink()
    while puller.run("q4", point) is None:
        kills += 1
        point = 1 + kills // 2
        check_after_a_kill(card, right)
    assert kills >= KILLS
    check_the_end(card, right)
