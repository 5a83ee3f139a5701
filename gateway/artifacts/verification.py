"""Proving that a model's files are the right ones, up to the vector of a known text.

Every check yields a finding with a remedy; one that cannot be made because an earlier one failed is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from gateway.artifacts.exclusive import exclusive
from gateway.artifacts.file_checks import check_files, check_serving, check_weights
from gateway.artifacts.findings import REPAIR, Finding, VerificationReport
from gateway.artifacts.graphs.recipe import SERVING
from gateway.artifacts.lock import write_lock
from gateway.artifacts.measuring import Measured, measure
from gateway.artifacts.onnx_inspection import graph_path, inspect_graph, inspect_published
from gateway.artifacts.pulling import PULL_LOCK_FILE
from gateway.artifacts.tokenizer_check import check_tokenizer
from gateway.artifacts.variants import default_variant, graph_of
from gateway.cards.installation import Installation, expected_canary, read_installation
from gateway.cards.rendering import CONFIG_FILE, stale_files
from gateway.cards.schema import Card
from gateway.errors import ArtifactError, ConfigurationError


def verify(card: Card) -> VerificationReport:
    """Look at everything. Takes about as long as reading the weights once; raises nothing for a fault."""
    return VerificationReport(model=card.name, findings=tuple(_findings(card)))


def note_verified(card: Card, proved: Installation | None = None) -> None:
    """Write into the lock that everything was proved just now; nothing where there is none, or
    another one than `proved` (None: nobody else can have changed it).

    Raises `ArtifactError` where a pull is under way or the lock cannot be written.
    """
    with exclusive(card.path_of(PULL_LOCK_FILE), wait=False):
        installation = read_installation(card)
        if installation.files and proved in (None, installation):
            write_lock(card, replace(installation, verified_at=datetime.now(UTC).isoformat(timespec="seconds")))


def _findings(card: Card) -> Iterator[Finding]:
    installation = read_installation(card)
    files = list(check_files(card, installation))
    yield from files
    yield _config(card)
    if not all(finding.ok for finding in files if finding.check == "file"):
        return
    if not card.triton.has_graph:
        yield from check_weights(card, installation)
        yield check_tokenizer(card)
        return
    published = _published(card, installation)
    graphs = [*inspect_graph(card), *(inspect_published(card, published) if published else ())]
    graphs += check_serving(card, installation)
    yield from graphs
    tokenizer = check_tokenizer(card)
    yield tokenizer
    if tokenizer.ok and all(finding.ok for finding in graphs):
        yield from _values(card, installation, published)


def _published(card: Card, installation: Installation) -> Path | None:
    """The graph that the serving graph was made from."""
    if card.graph is None or card.graph.builder != SERVING:
        return None
    graph = graph_of(card, installation.variant or default_variant(card))
    return card.path_of(graph.path) if graph is not None else None


def _config(card: Card) -> Finding:
    stale = stale_files(card)
    if not stale:
        return Finding("config", CONFIG_FILE, True, "It is what the card says.")
    return Finding("config", stale[0].name, False, "It differs from the card.", f"gateway models render {card.name}")


def _values(card: Card, installation: Installation, published: Path | None) -> Iterator[Finding]:
    """Run the graph in this process: what it gives for the known text, and whether a batch changes that."""
    name = card.triton.default_model_filename
    try:
        measured = measure(card, graph_path(card), published=published)
    except (ArtifactError, ConfigurationError) as error:
        yield Finding("canary", name, False, error.message, error.remedy or REPAIR.format(name=card.name))
        return
    yield _canary(card, installation, measured)
    if measured.batch_invariant or not installation.batch_invariant:
        how = "stays the same" if measured.batch_invariant else "changes, so texts go to it one at a time"
        yield Finding("batch", name, True, f"In a batch a text's value {how}: {measured.spread:.0e} at most.")
        return
    detail = f"In a batch a text's value changes, by {measured.spread:.0e} here, and the lock does not say so."
    yield Finding("batch", name, False, detail, REPAIR.format(name=card.name))


def _canary(card: Card, installation: Installation, measured: Measured) -> Finding:
    """Compare the known text's first values with the card's, and with those of the day of the installation."""
    name, tolerance = card.triton.default_model_filename, card.canary.tolerance
    what = "score" if card.reranking is not None else "vector"
    given = np.array(measured.canary)
    if card.vectors is not None and measured.size != card.vectors.dimensions:
        detail = f"It gives vectors of {measured.size} dimensions, the card says {card.vectors.dimensions}."
        return Finding("canary", name, False, detail, "Mend vectors.dimensions or the outputs in card.toml.")
    for expected in filter(None, (card.canary.expected, installation.canary)):
        count = min(len(expected), len(given))
        difference = float(np.abs(given[:count] - np.array(expected[:count])).max())
        # Written so that NaN fails.
        if not difference <= tolerance:
            detail = f"The known text's {what} is off by {difference:.2e}; allowed is {tolerance:.0e}."
            return Finding("canary", name, False, detail, REPAIR.format(name=card.name))
    known = expected_canary(card, installation)
    detail = f"The known text's {what} is right." if known else f"The known text's {what} is finite; none is known."
    return Finding("canary", name, True, detail)
