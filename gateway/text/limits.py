"""Token limits and the sentences that refuse what exceeds them.

Clients recognise an overflow by the phrase in the middle, so it is kept word for word.
"""

from __future__ import annotations

from gateway.errors import TokenLimitExceeded

INPUT_FIELD = "input"
SHORTEN_PHRASE = "Please reduce your prompt; or completion length."


def window_exceeded(token_count: int, max_tokens: int, *, index: int, at_least: bool) -> TokenLimitExceeded:
    """The refusal of one text that is longer than the model's window."""
    return TokenLimitExceeded(
        f"This model's maximum context length is {max_tokens} tokens, however you requested "
        f"{_count(token_count, at_least=at_least)} in input {index}. {SHORTEN_PHRASE} "
        "To have long inputs cut instead, ask for truncation.",
        param=INPUT_FIELD,
    )


def image_exceeded(token_count: int, max_tokens: int, *, index: int) -> TokenLimitExceeded:
    """The refusal of one image that is longer than the model's window; an image cannot be cut."""
    return TokenLimitExceeded(
        f"This model's maximum context length is {max_tokens} tokens, however '{INPUT_FIELD}[{index}]' is an image of "
        f"{token_count} tokens. {SHORTEN_PHRASE} Send a smaller image.",
        param=INPUT_FIELD,
    )


def request_exceeded(
    token_count: int, max_tokens: int, *, at_least: bool, param: str = INPUT_FIELD
) -> TokenLimitExceeded:
    """The refusal of a request whose inputs are too long together; `param` is the field that holds them."""
    return TokenLimitExceeded(
        f"This server's maximum is {max_tokens} tokens per request, however you requested "
        f"{_count(token_count, at_least=at_least)} in total. {SHORTEN_PHRASE} "
        "To stay below it, send the inputs in several requests.",
        param=param,
        code="max_tokens_per_request",
    )


def _count(tokens: int, *, at_least: bool) -> str:
    return f"at least {tokens} tokens" if at_least else f"{tokens} tokens"
