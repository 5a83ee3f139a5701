"""What an operator has to know of a model that is served faithfully, and still not as its authors' library would."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.artifacts.adding.identity import UNKNOWN_LICENCE
from gateway.artifacts.adding.published import Document, Fact
from gateway.artifacts.adding.stages import MODULES_FILE, Stages
from gateway.cards.schema import IN_GRAPH

_NON_COMMERCIAL = ("-NC", "NON-COMMERCIAL", "NONCOMMERCIAL")
_BY_LENGTH = ("dot", "dot_score", "euclidean", "manhattan")


def notes_on(
    *,
    stages: Stages | None,
    pooling: Fact[str],
    sentence: Document,
    tokenizer: Fact[Document],
    licence: Fact[str],
) -> Iterator[str]:
    """Sentences. `sentence` is `config_sentence_transformers.json`, empty where there is none."""
    if stages is None and pooling.source.startswith("assumed"):
        yield (
            f"The repository has no {MODULES_FILE}, so that its pooling, {pooling.value}, is assumed, as "
            "sentence-transformers would. Compare it with the authors' description; --pooling states another one."
        )
    if pooling.value == IN_GRAPH:
        yield "The graph pools by itself, so there is no late chunking: that needs a vector for each token."
    cut = sentence.get("truncate_dim")
    if isinstance(cut, int):
        yield f"Its authors cut vectors to {cut} numbers; here callers ask for that with dimensions={cut}."
    if stages is not None and not stages.normalizes and sentence.get("similarity_fn_name") in _BY_LENGTH:
        yield (
            "Its authors compare vectors that are not of unit length. Vectors are of unit length here unless a request "
            "says normalized=false."
        )
    if tokenizer.value.get("truncation_side") == "left":
        yield "Its tokenizer cuts long texts at their beginning. Here a text is cut at its end, if a caller allows it."
    yield from _on_licence(licence.value)


def _on_licence(licence: str) -> Iterator[str]:
    if licence == UNKNOWN_LICENCE:
        yield "The repository states no licence. Ask its authors before you use it, and state it with --licence."
    elif any(word in licence.upper() for word in _NON_COMMERCIAL):
        yield f"Its licence, {licence}, forbids commercial use."
