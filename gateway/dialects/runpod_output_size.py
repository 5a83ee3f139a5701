"""Keeps answers below what RunPod carries: the platform drops a larger one, and its caller never learns why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from gateway.dialects.base import Services
from gateway.dialects.embeddings_request import EmbeddingsCall, Encoding
from gateway.errors import InvalidField, TooManyTokenVectors
from gateway.types import EmbedResult

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


async def embed_within(call: EmbeddingsCall, services: Services, *, max_bytes: int) -> EmbedResult:
    """The call's result. An answer that RunPod would drop is refused before anything is computed: by its number of
    vectors, or, where there is one a token, once the tokens are counted.

    Raises `InvalidField` for it, and what `Embedder.embed` raises.
    """
    request = call.request
    vectors = services.models.resolve(request.model).model.card.vectors
    if vectors is None:
        return await services.embedder.embed(request)  # which says what is wrong with that model
    if not request.multi_vector:
        refuse_hopeless(
            vectors=len(request.inputs),
            dimensions=request.dimensions or vectors.dimensions,
            encodings=call.encodings,
            max_bytes=max_bytes,
        )
        return await services.embedder.embed(request)
    if vectors.token_dimensions is not None:
        most = int(max_bytes / _least_bytes(vectors.token_dimensions, call.encodings))
        request = replace(request, max_token_vectors=most)
    try:
        return await services.embedder.embed(request)
    except TooManyTokenVectors:
        raise too_large(max_bytes) from None


def refuse_hopeless(*, vectors: int, dimensions: int, encodings: Sequence[Encoding], max_bytes: int) -> None:
    """Raises `InvalidField` where no such answer can be small enough, so that nothing is computed for it."""
    if vectors * _least_bytes(dimensions, encodings) > max_bytes:
        raise too_large(max_bytes)


def _least_bytes(dimensions: int, encodings: Sequence[Encoding]) -> float:
    """Of one vector."""
    return dimensions * sum(_LEAST_BYTES[encoding] for encoding in encodings)


def too_large(max_bytes: int) -> InvalidField:
    return InvalidField(
        f'The answer would be larger than the {max_bytes / 1e6:g} MB that RunPod carries. Ask for "embedding_type": '
        '"base64" or "binary", ask for fewer `dimensions`, or send fewer inputs in a job.',
        param="input",
        code="output_too_large",
    )
