"""The one error of this package: a model that would be served, but not with its authors' vectors."""

from __future__ import annotations

from gateway.errors import ConfigurationError


class CannotServe(ConfigurationError):
    """The repository cannot be served faithfully. The message says why; what can be done about it is never left out."""

    code = "cannot_serve"

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message, remedy=remedy)


TELL_AUTHORS = "Tell the repository's authors."
USE_THEIR_LIBRARY = "Serve it with sentence-transformers."
