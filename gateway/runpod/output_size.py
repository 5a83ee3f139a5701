"""Keeps answers below what RunPod carries: the platform drops a larger one, and its caller never learns why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.dialects.embeddings_request import Encoding
from gateway.errors import InvalidField

# About what `{"output": ...}` around the answer takes.
_ENVELOPE_BYTES = 1024

# The least that one dimension takes as JSON, so that nothing is refused beforehand that might have fitted: a number has
# seldom fewer than 8 characters with its comma, base64 has 4 characters for 3 bytes.
_LEAST_BYTES: Mapping[Encoding, float] = {
    Encoding.FLOAT: 8.0,
    Encoding.BASE64: 16 / 3,
    Encoding.BINARY: 1 / 6,
    Encoding.UBINARY: 1 / 6,
}


class OutputBudget:
    """Counts the JSON of one answer while it is written."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = _ENVELOPE_BYTES

    def add(self, part: bytes) -> bytes:
        """`part` itself. The runpod package writes a space after each comma and colon, which counts too.

        Raises `InvalidField` once the answer is too large.
        """
        self._bytes += len(part) + part.count(b",") + part.count(b":")
        if self._bytes > self._max_bytes:
            raise too_large(self._max_bytes)
        return part

    def add_list(self, rows: Iterable[bytes]) -> bytes:
        """A JSON list of `rows`, each JSON itself."""
        return b"[%b]" % b",".join([self.add(row) for row in rows])


def refuse_hopeless(*, vectors: int, dimensions: int, encodings: Sequence[Encoding], max_bytes: int) -> None:
    """Raises `InvalidField` where no such answer can be small enough, so that nothing is computed for it."""
    if vectors * dimensions * sum(_LEAST_BYTES[encoding] for encoding in encodings) > max_bytes:
        raise too_large(max_bytes)


def too_large(max_bytes: int) -> InvalidField:
    return InvalidField(
        f'The answer would be larger than the {max_bytes / 1e6:g} MB that RunPod carries. Ask for "embedding_type": '
        '"base64" or "binary", ask for fewer `dimensions`, or send fewer inputs in a job.',
        param="input",
        code="output_too_large",
    )
