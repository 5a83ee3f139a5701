"""Making the files that nobody publishes: graphs around weights, and around published graphs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.artifacts.findings import Finding
from gateway.artifacts.graphs.building import build_graph
from gateway.artifacts.graphs.recipe import SERVING
from gateway.artifacts.graphs.serving import build_serving
from gateway.artifacts.onnx_inspection import inspect_graph
from gateway.artifacts.placing import INCOMING_SUFFIX, Content
from gateway.artifacts.variants import default_variant, graph_of
from gateway.cards.installation import read_installation
from gateway.cards.schema import Card, FileSpec
from gateway.errors import ArtifactError


def built_bytes(card: Card, variant: str | None) -> bytes:
    """What the card's builder makes of the files that are there; the same bytes for the same files.

    Raises `ConfigurationError` or `ArtifactError` where card and files do not fit.
    """
    if not card.triton.has_graph:
        message = f"{card.name} has no graph to build: Triton's Python backend reads its weights as they are."
        raise ArtifactError(message)
    if card.graph is None:
        raise ArtifactError(f"{card.name} has no graph section.")
    if card.graph.builder == SERVING:
        graph = graph_of(card, variant)
        if graph is None:
            raise ArtifactError(f"{card.name} lists no published graph to build a serving graph around.")
        return build_serving(card, card.path_of(graph.path))
    if card.graph.weights is None:
        raise ArtifactError(f"{card.name} lists no weights to build a graph around.")
    return build_graph(card.graph, card.path_of(card.graph.weights))


def built_content(card: Card) -> Content:
    """What the builder writes for a card and the installed variant, for whoever writes or renews a card."""
    data = built_bytes(card, read_installation(card).variant or default_variant(card))
    return Content(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


@contextmanager
def candidate(card: Card, file: FileSpec, variant: str | None) -> Iterator[Path]:
    """A built file under a temporary name in its own folder, from where its weights can be found.

    Raises as `built_bytes` does, and `ArtifactError` where the result is not what the card says.
    """
    destination = card.path_of(file.path)
    path = destination.with_name(f".{destination.name}.{os.getpid()}{INCOMING_SUFFIX}")
    try:
        path.write_bytes(built_bytes(card, variant))
        if file.path.endswith(".onnx"):
            _refuse(card, [finding for finding in inspect_graph(card, path) if not finding.ok])
        yield path
    except OSError as error:
        raise ArtifactError(f"{file.path} cannot be written: {error.strerror or error}.") from error
    finally:
        path.unlink(missing_ok=True)


def _refuse(card: Card, faults: list[Finding]) -> None:
    if faults:
        raise ArtifactError(
            f"The graph made for {card.name} is not what its card says. {faults[0].detail}", remedy=faults[0].remedy
        )
