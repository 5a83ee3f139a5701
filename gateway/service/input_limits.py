"""How many tokens of an input a request wants kept, where it says so: vLLM's clients do."""

from __future__ import annotations

from dataclasses import replace

from gateway.cards.tasks import TaskChoice, prompt_of
from gateway.errors import InvalidField
from gateway.service.public_model import PublicModel
from gateway.text.pairs import PairWindow
from gateway.types import EmbedRequest

_FIELD = "truncate_prompt_tokens"


def check_input_limit(request: EmbedRequest, model: PublicModel, choice: TaskChoice) -> None:
    """Raises `InvalidField` for more tokens than the model reads, for so few that nothing is left of a text beside the
    special tokens and the task's prefix, and for parts of one document, which are read whole."""
    if request.max_input_tokens is None:
        return
    if request.late_chunking:
        raise InvalidField(
            f"'{_FIELD}' cannot go with 'late_chunking': a document is read whole. Please leave one of the two out.",
            param=_FIELD,
        )
    tokenizer = model.reader.tokenizer
    prefix = prompt_of(model.card.tasks, choice.task, choice.role).rstrip()
    [before] = tokenizer.encode_bare([prefix], most=tokenizer.max_tokens)
    least = len(tokenizer.prefix_ids) + len(before.ids) + len(tokenizer.suffix_ids) + 1
    _check(request.max_input_tokens, least=least, most=tokenizer.max_tokens, model=model)


def shorter_window(window: PairWindow, max_tokens: int | None, model: PublicModel) -> PairWindow:
    """`window` for pairs of at most `max_tokens`, None for the model's own. Raises `InvalidField` for more than that,
    and for so few that one of the texts would be lost."""
    if max_tokens is None:
        return window
    _check(max_tokens, least=len(window.specials) + 2, most=window.max_tokens, model=model)
    return replace(window, max_tokens=max_tokens)


def _check(value: int, *, least: int, most: int, model: PublicModel) -> None:
    if not least <= value <= most:
        raise InvalidField(
            f"'{_FIELD}' must be from {least} to {most} for the model {model.name}, or -1 for all that it reads.",
            param=_FIELD,
        )
