"""The one error of this package: a model that would be served, but not with its authors' vectors."""

from __future__ import annotations

from gateway.errors import ConfigurationError

# Messages quote what a repository says, which may be megabytes, or orders to the terminal.
_MOST_CHARACTERS = 1000


class CannotServe(ConfigurationError):
    """The repository cannot be served faithfully. The message says why; what can be done about it is never left out."""

    code = "cannot_serve"

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(_fit_to_print(message), remedy=_fit_to_print(remedy))


def _fit_to_print(text: str) -> str:
    """The text without what a terminal would act on or could not show, and shortened in its middle."""
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[: _MOST_CHARACTERS // 2]} ... {text[-_MOST_CHARACTERS // 2 :]}"
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


TELL_AUTHORS = "Tell the repository's authors."
USE_THEIR_LIBRARY = "Serve it with sentence-transformers."
