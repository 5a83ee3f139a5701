"""One vector a token instead of one an input: who can, what it excludes, and what each token is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from gateway.cards.schema import OutputRole
from gateway.errors import InvalidField
from gateway.service.served_models import PublicModel
from gateway.text.tokenizer import TextTokenizer
from gateway.types import EmbedRequest, TokenRow

_FIELD = "return_multivector"
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


async def token_texts(tokenizer: TextTokenizer, rows: Sequence[TokenRow]) -> tuple[tuple[str, ...], ...]:
    """For each row the texts of its tokens, prefix or image prompt included."""
    ids = np.concatenate([row.ids for row in rows])
    texts = iter(await asyncio.to_thread(tokenizer.token_texts, ids))
    return tuple(tuple(next(texts) for _ in row.ids) for row in rows)
