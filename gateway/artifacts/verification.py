"""Proving that a model's files are the right ones, up to the vector of a known text.

Every check yields a finding with a remedy; one that cannot be made because an earlier one failed is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from gateway.artifacts.findings import Finding, VerificationReport
from gateway.artifacts.onnx_inspection import REPAIR, graph_path, inspect_graph
from gateway.artifacts.placing import content_of
from gateway.cards.rendering import CONFIG_FILE, is_rendered
from gateway.cards.schema import INPUT_TYPES, Card, FileSpec, InputRole, OutputRole
from gateway.errors import ConfigurationError
from gateway.text.tokenizer import TextTokenizer
from gateway.types import Int64Array
from gateway.vectors.pooling import POOLINGS

# Larger than any canary text: it is read whole.
MAX_CANARY_BYTES = 1 << 20


def verify(card: Card) -> VerificationReport:
    """Look at everything. Takes about as long as reading the weights once; raises nothing for a fault."""
    return VerificationReport(model=card.name, findings=tuple(_findings(card)))


def _findings(card: Card) -> Iterator[Finding]:
    files = [_file(card, file) for file in card.files]
    yield from files
    yield _config(card)
    if not all(finding.ok for finding in files):
        return
    graph = list(inspect_graph(card))
    yield from graph
    ids = _canary_ids(card)
    if isinstance(ids, Finding):
        yield ids
        return
    yield Finding("tokenizer", card.tokenizer.file, True, f"It loads and cuts at {card.tokenizer.max_tokens} tokens.")
    if all(finding.ok for finding in graph):
        yield _canary(card, ids)


def _file(card: Card, file: FileSpec) -> Finding:
    path, repair = card.path_of(file.path), f"gateway models pull {card.name}"
    if not path.is_file():
        return Finding("file", file.path, False, "It is missing.", repair)
    if path.is_symlink():
        detail = "It is a symbolic link; ONNX Runtime refuses linked data, so copy or hard-link the file instead."
        return Finding("file", file.path, False, detail, repair)
    try:
        content = content_of(path)
    except OSError as error:
        return Finding("file", file.path, False, f"It cannot be read: {error.strerror}.", "Check its permissions.")
    if file.size_bytes is not None and content.size_bytes != file.size_bytes:
        detail = f"It has {content.size_bytes} bytes, the card says {file.size_bytes}."
        return Finding("file", file.path, False, detail, repair)
    if file.sha256 is not None and content.sha256 != file.sha256:
        detail = f"Its sha256 is {content.sha256}, the card says {file.sha256}."
        return Finding("file", file.path, False, detail, REPAIR.format(name=card.name))
    return Finding("file", file.path, True, f"{content.size_bytes} bytes, sha256 {content.sha256}")


def _config(card: Card) -> Finding:
    if is_rendered(card):
        return Finding("config", CONFIG_FILE, True, "It is what the card says.")
    return Finding("config", CONFIG_FILE, False, "It differs from the card.", f"gateway models render {card.name}")


def _canary_ids(card: Card) -> Int64Array | Finding:
    """The canary's token ids [tokens], or what is wrong with the tokenizer."""
    spec = card.tokenizer
    try:
        tokenizer = TextTokenizer.from_file(
            card.path_of(spec.file), max_tokens=spec.max_tokens, max_text_bytes=MAX_CANARY_BYTES
        )
    except ConfigurationError as error:
        return Finding("tokenizer", spec.file, False, error.message, REPAIR.format(name=card.name))
    if spec.pad_id >= tokenizer.vocabulary_size:
        detail = f"pad_id {spec.pad_id} is outside its vocabulary of {tokenizer.vocabulary_size}."
        return Finding("tokenizer", spec.file, False, detail, "Mend tokenizer.pad_id in card.toml.")
    return tokenizer.encode([card.canary.text])[0].ids


def _canary(card: Card, ids: Int64Array) -> Finding:
    """Run the known text in this process and compare its vector's first values with the card's."""
    name = card.triton.default_model_filename
    try:
        vector = _vector(card, ids)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors have no common base but Exception
        detail = f"ONNX Runtime cannot run it: {str(error).splitlines()[0][:300]}"
        return Finding("canary", name, False, detail, REPAIR.format(name=card.name))
    expected = np.array(card.canary.expected)
    if vector.shape != (card.embedding.dimensions,):
        detail = (
            f"It gives vectors of shape {list(vector.shape)}, the card says {card.embedding.dimensions} dimensions."
        )
        return Finding("canary", name, False, detail, "Mend vectors.dimensions or the outputs in card.toml.")
    difference = float(np.abs(vector[: len(expected)] - expected).max())
    # Written so that NaN fails.
    if not difference <= card.canary.tolerance:
        detail = f"The known text's vector is off by {difference:.2e}; allowed is {card.canary.tolerance:.0e}."
        return Finding("canary", name, False, detail, REPAIR.format(name=card.name))
    return Finding("canary", name, True, f"The known text's vector is right to {difference:.1e}.")


def _vector(card: Card, ids: Int64Array) -> npt.NDArray[np.float64]:
    """The unit-length vector of one row of ids, float64 [dimensions]."""
    session = onnxruntime.InferenceSession(graph_path(card), providers=["CPUExecutionProvider"])
    row = ids[np.newaxis]
    fed = {
        InputRole.TOKEN_IDS: row,
        InputRole.ATTENTION_MASK: np.ones_like(row),
        InputRole.TOKEN_TYPE_IDS: np.zeros_like(row),
    }
    feeds: dict[str, Any] = {
        item.tensor.name: fed[item.role].astype(INPUT_TYPES[item.tensor.data_type]) for item in card.triton.inputs
    }
    output = card.triton.embedding_output
    if output is None:
        raise ConfigurationError("the card names no output that a vector can be made from")
    (values,) = session.run([output.tensor.name], feeds)
    pooled = output.role is OutputRole.SENTENCE_EMBEDDING
    rows = values if pooled else POOLINGS[card.embedding.pooling](values, fed[InputRole.ATTENTION_MASK])
    vector: npt.NDArray[np.float64] = np.asarray(rows, dtype=np.float64)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return vector / np.linalg.norm(vector)
