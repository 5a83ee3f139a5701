"""What an operator has to know of a model that is served faithfully, and still not as its authors' library would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.artifacts.adding.identity import UNKNOWN_LICENCE
from gateway.artifacts.adding.published import Document, Fact
from gateway.artifacts.adding.stages import MODULES_FILE
from gateway.cards.installation import Installation
from gateway.cards.schema import IN_GRAPH

_NON_COMMERCIAL = ("-NC", "NON-COMMERCIAL", "NONCOMMERCIAL")
# Ways to compare vectors to which their length matters.
_BY_LENGTH = ("dot", "dot_score", "euclidean", "manhattan")


def notes_on_pooling(pooling: Fact[str], *, has_stages: bool, made_from: Sequence[str]) -> Iterator[str]:
    """`made_from` are the models that the repository names as its origin: a conversion often leaves out their stages,
    and with them their pooling."""
    if pooling.value == IN_GRAPH:
        yield "The graph pools by itself, so there is no late chunking: that needs a vector for each token."
    elif not has_stages and pooling.source.startswith("assumed"):
        where = f"{' and '.join(made_from)}, which it was made from" if made_from else "its authors' description"
        yield (
            f"The repository has no {MODULES_FILE}, so that its pooling, {pooling.value}, is assumed as "
            f"sentence-transformers would assume it. Compare with {where}; --pooling states another one."
        )


def notes_on_vectors(sentence: Document, *, normalizes: bool) -> Iterator[str]:
    """`sentence` is `config_sentence_transformers.json`, empty where there is none."""
    cut = sentence.get("truncate_dim")
    if isinstance(cut, int):
        yield f"Its authors cut vectors to {cut} numbers; here callers ask for that with dimensions={cut}."
    if not normalizes and sentence.get("similarity_fn_name") in _BY_LENGTH:
        yield (
            "Its authors compare vectors that are not of unit length. Vectors are of unit length here unless a request "
            "says normalized=false."
        )


def notes_on_cutting(tokenizer: Fact[Document]) -> Iterator[str]:
    if tokenizer.value.get("truncation_side") == "left":
        yield "Its tokenizer cuts long texts at their beginning. Here a text is cut at its end, if a caller allows it."


def notes_on_batches(installation: Installation) -> Iterator[str]:
    if not installation.batch_invariant:
        yield (
            "In this file a text's vector depends on the texts beside it, so that it is sent one text a call, which is "
            "slower. A variant that does not quantise activations would share calls."
        )


def notes_on_licence(licence: str) -> Iterator[str]:
    if licence == UNKNOWN_LICENCE:
        yield "The repository states no licence. Ask its authors before you use it, and state it with --licence."
    elif any(word in licence.upper() for word in _NON_COMMERCIAL):
        yield f"Its licence, {licence}, forbids commercial use."
