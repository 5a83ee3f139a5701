"""One vector a token instead of one an input: who can, what it excludes, and what each token is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from gateway.cards.triton_spec import OutputRole
from gateway.errors import InvalidField, TokenLimitExceeded, TooManyTokenVectors
from gateway.service.public_model import PublicModel
from gateway.text.tokenizer import TextTokenizer
from gateway.types import EmbedRequest, TokenRow

_FIELD = "return_multivector"

# Their vectors and their JSON, whatever its form, take 250 MB of memory; 300,000 tokens would take over 1 GB a request.
MOST_TOKENS = 65_536
_TOKENS_FIELD = "return_tokenized_input"


def check_token_vectors(request: EmbedRequest, model: PublicModel) -> None:
    """Raises `InvalidField` for a request that cannot have a vector a token as it asks for it."""
    if not request.multi_vector:
        if request.return_tokens:
            raise InvalidField(
                f"'{_TOKENS_FIELD}' goes with '{_FIELD}' alone. Please send both, or leave it out.", param=_TOKENS_FIELD
            )
        return
    if model.card.triton.output(OutputRole.TOKEN_VECTORS) is None:
        raise InvalidField(
            f"{model.name} gives one vector an input and none for each of its tokens. Please leave '{_FIELD}' out, or "
            "name another model.",
            param=_FIELD,
            code="multi_vector_unavailable",
        )
    refused = {
        "dimensions": request.dimensions is not None,
        "late_chunking": request.late_chunking,
        "normalized": not request.normalised,
    }
    for field, is_asked in refused.items():
        if is_asked:
            raise InvalidField(
                f"'{field}' cannot go with '{_FIELD}': the vectors of tokens have one size and unit length, and one is "
                "given for each token. Please leave one of the two out.",
                param=field,
            )


def check_token_count(count: int, request: EmbedRequest, *, at_least: bool) -> None:
    """Raises `TokenLimitExceeded` for more tokens than an answer may have vectors for, `TooManyTokenVectors` where the
    request's own bound is the tighter one."""
    most, error = MOST_TOKENS, TokenLimitExceeded
    if request.max_token_vectors is not None and request.max_token_vectors < most:
        most, error = request.max_token_vectors, TooManyTokenVectors
    if count > most:
        raise error(
            f"With '{_FIELD}' a request may have {most} tokens, because each gets a vector of its own; this one "
            f"has {'at least ' if at_least else ''}{count}. Please send the inputs in several requests.",
            param="input",
            code="max_tokens_per_request",
        )


async def token_texts(tokenizer: TextTokenizer, rows: Sequence[TokenRow]) -> tuple[tuple[str, ...], ...]:
    """For each row the texts of its tokens, prefix or image prompt included."""
    ids = np.concatenate([row.ids for row in rows])
    texts = iter(await asyncio.to_thread(tokenizer.token_texts, ids))
    return tuple(tuple(next(texts) for _ in row.ids) for row in rows)
